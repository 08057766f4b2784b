//! Raises the speed of a reader: at 9600 baud a pass takes a quarter of a second on the wire, at 115200 a fiftieth.

use super::super::{fail, runtime};
use super::probe::answered;
use kakou_drivers::gm65;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long an answer may take.
const WAIT: Duration = Duration::from_millis(400);
/// How often the reader is asked at its new speed.
const TRIES: u32 = 3;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The port of a GM65 reader. The gateway must not use it.
    port: PathBuf,
    /// The speed that it has.
    #[arg(long, default_value_t = 9600, value_name = "BAUD")]
    from: u32,
    /// The speed that it gets.
    #[arg(long, default_value_t = 115_200, value_name = "BAUD")]
    to: u32,
    /// Keeps it in the reader; without this it has its old speed again after a power cut.
    #[arg(long)]
    save: bool,
}

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(e) => return fail(e),
    };
    match runtime.block_on(raise(a)) {
        Ok(()) => {
            let kept = if a.save { "and keeps it" } else { "until its power goes (--save keeps it)" };
            println!("the reader speaks at {} baud {kept}; set `baud = {}` in its port", a.to, a.to);
            ExitCode::SUCCESS
        }
        Err(why) => fail(why),
    }
}

async fn raise(a: &Arguments) -> Result<(), String> {
    let shown = a.port.display();
    let Some(command) = gm65::set_speed(a.to) else {
        return Err(format!("a GM65 has no {} baud; it has {:?}", a.to, gm65::SPEEDS));
    };
    let is_answer = |b: &[u8]| (0..b.len()).any(|at| gm65::is_answer(&b[at..]));
    let ask = async |baud: u32, question: &[u8]| {
        answered(&a.port, baud, question, WAIT, is_answer).await.map_err(|e| format!("{shown}: {e}"))
    };
    if !ask(a.from, &gm65::question()).await? {
        return Err(format!("no GM65 answers at {shown} with {} baud; nothing was changed", a.from));
    }
    // Its answer may come at either speed, so that it says nothing: the next question does.
    ask(a.from, &command).await?;
    for _ in 0..TRIES {
        if ask(a.to, &gm65::question()).await? {
            return match a.save {
                true if !ask(a.to, &gm65::save()).await? => {
                    Err("the reader has its new speed and did not confirm that it keeps it".into())
                }
                true | false => Ok(()),
            };
        }
    }
    Err(format!("the reader does not answer at {} baud: take its power away, and it is as before", a.to))
}
