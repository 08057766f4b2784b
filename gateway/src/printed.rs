//! What the commands print. Whoever reads them may stop reading (`| head`): that is no fault, and nothing to be told in
//! a backtrace. Much of what is printed others have said: it moves no cursor and sets no colour. These take the place of the
//! macros of the same names everywhere in this crate, and in those that import them from it.

use kakou_link::shown;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// What a shell tells of a program that wrote to a pipe which nobody reads: 128, and the number of SIGPIPE.
const NOBODY_READS: i32 = 141;

/// Writes to standard output. Where that does not work the program ends: quietly when nobody reads it any more.
pub fn out(text: Arguments<'_>) {
    write(&shown::lines(&text.to_string()));
}

/// Empties the screen.
pub fn clear() {
    write("\x1b[2J\x1b[H");
}

fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let Err(e) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) else { return };
    if e.kind() == ErrorKind::BrokenPipe {
        std::process::exit(NOBODY_READS);
    }
    err(format_args!("kakou: standard output: {e}\n"));
    std::process::exit(1);
}

/// Writes to standard error. Where that does not work there is nobody to tell.
pub fn err(text: Arguments<'_>) {
    drop(std::io::stderr().lock().write_all(shown::lines(&text.to_string()).as_bytes()));
}

/// Prints, as the macro of the same name does.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::printed::out(format_args!($($text)*)) };
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    () => { $crate::printed::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::printed::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints to standard error.
#[macro_export]
macro_rules! eprint {
    ($($text:tt)*) => { $crate::printed::err(format_args!($($text)*)) };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::printed::err(format_args!("\n")) };
    ($($text:tt)*) => { $crate::printed::err(format_args!("{}\n", format_args!($($text)*))) };
}
