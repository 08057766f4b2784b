//! Code that a start alone needs. The kernel maps the neighbours of each page that is touched (`fault_around_bytes`,
//! 64 KiB), so that behind a start nearly all of the program is resident. What is given back here lies in the page cache
//! still, and comes back when it is touched; but on a small box the kernel can use its room for something else.

use rustix::mm::{Advice, madvise};
use std::ffi::c_void;
use std::path::Path;
use std::{fs, io, ptr};

/// The program is not as it must be for this.
fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Beginning and length of each mapping of a file that is code and was never written to.
fn code_of(program: &Path, maps: &str) -> Vec<(usize, usize)> {
    let mapping = |line: &str| {
        // Address, permissions, offset, device, inode, path: proc_pid_maps(5).
        let mut words = line.split_ascii_whitespace();
        let (range, permissions) = (words.next()?, words.next()?);
        let path = line.find('/').and_then(|at| line.get(at..))?;
        let (begin, end) = range.split_once('-')?;
        let [begin, end] = [begin, end].map(|address| usize::from_str_radix(address, 16).ok());
        let length = end?.checked_sub(begin?)?;
        (permissions == "r-xp" && Path::new(path) == program).then_some((begin?, length))
    };
    maps.lines().filter_map(mapping).collect()
}

/// Lets go of the program's code; gives the bytes that were looked at.
pub fn give_back() -> io::Result<usize> {
    let program = fs::read_link("/proc/self/exe")?;
    let code = code_of(&program, &fs::read_to_string("/proc/self/maps")?);
    if code.is_empty() {
        return Err(unexpected("no code of the program is mapped"));
    }
    for (begin, length) in &code {
        let begin = ptr::with_exposed_provenance_mut::<c_void>(*begin);
        #[expect(unsafe_code, reason = "there is no other way to say it to the kernel")]
        // SAFETY: the mapping is private, of a file, and cannot be written to: each page comes back as it was.
        unsafe {
            madvise(begin, *length, Advice::LinuxDontNeed)?;
        }
    }
    Ok(code.iter().map(|(_, length)| length).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_can_be_run_and_not_written_to_of_the_program_alone() {
        let maps = "\
55d0-56d0 r--p 00000000 fe:00 11 /usr/bin/kakoud
56d0-57e0 r-xp 00001000 fe:00 11 /usr/bin/kakoud
57e0-57f0 rwxp 00002000 fe:00 11 /usr/bin/kakoud
57f0-58f0 rw-p 00000000 00:00 0 [heap]
7000-7001 r-xp 00000000 fe:00 12 /usr/lib/libc.so.6
8000-9000 r-xp 00000000 00:00 0
nonsense r-xp /usr/bin/kakoud";
        assert_eq!(code_of(Path::new("/usr/bin/kakoud"), maps), [(0x56d0, 0x110)]);
    }

    #[test]
    fn a_program_goes_on_when_its_code_is_given_back() {
        let mapped = || fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let before = mapped();
        assert!(give_back().unwrap() > 100_000);
        // All that is run from here on came back by itself.
        assert_ne!(before, mapped());
        assert!(give_back().unwrap() > 100_000);
    }
}
