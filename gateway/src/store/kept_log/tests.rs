use super::*;
use crate::store::journal::Journal;
use crate::store::journal::tests::author;
use kakou_core::ids::{LaneId, VisitId};
use kakou_core::records::{Redemption, Write as Change};
use kakou_core::time::{Now, Quality};

const NOW_MS: i64 = 1_795_000_000_000;

fn now() -> Now {
    Now { mono_ms: 1, wall_ms: Some(NOW_MS), quality: Quality::Synced }
}

fn journal(data: &Path) -> Journal {
    Journal::open(data, author()).unwrap().0
}

/// Uses up passes and seals of these numbers: a line for each pass, two for each seal, which is told as a pass is.
fn use_up(journal: &mut Journal, numbers: std::ops::Range<u64>) {
    journal.begin().unwrap();
    for n in numbers {
        let by = Redemption { lane: LaneId::new("lane-1").unwrap(), visit: VisitId(n), at_ms: Some(NOW_MS) };
        let pass_id = format!("kid:pass-{n:05}");
        journal
            .write(&Change::Redeem { pass_id, shared: None, by: by.clone(), ends_ms: None }, &now())
            .unwrap();
        journal.write(&Change::Seal { number: format!("LN{n:05}"), by }, &now()).unwrap();
    }
    journal.commit().unwrap();
}

fn path(data: &Path) -> PathBuf {
    data.join("kept.log")
}

/// How many passes and seals the file knows.
fn known(data: &Path) -> usize {
    let facts = std::fs::read(path(data)).unwrap();
    let facts = facts.split(|b| *b == b'\n').filter_map(|line| parse(whole(line)?.1));
    let key = |fact| match fact {
        Fact::Pass(used) => Some(used.pass),
        Fact::Seal(number, _) => Some(number),
        Fact::Time(_) | Fact::Visits(_) | Fact::Slot(_) => None,
    };
    facts.filter_map(key).collect::<HashSet<_>>().len()
}

#[test]
fn a_damaged_line_costs_that_line_alone_and_comes_back_from_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut first = journal(data);
    use_up(&mut first, 0..50);
    drop(first);
    let mut bytes = std::fs::read(path(data)).unwrap();
    let at = bytes.windows(8).position(|w| w == b"LN00020\"").unwrap();
    bytes[at] = b'X';
    bytes.truncate(bytes.len() - 3);
    std::fs::write(path(data), &bytes).unwrap();
    assert_eq!(known(data), 148, "the one that was changed and the one that was cut");
    // Both are back at once, and the damaged lines go when there is time.
    let mut again = journal(data);
    assert_eq!(known(data), 150);
    for _ in 0..3 {
        again.tend_kept().unwrap();
    }
    let text = std::fs::read_to_string(path(data)).unwrap();
    assert!(text.lines().all(|line| whole(line.as_bytes()).is_some()), "{text}");
    assert_eq!((known(data), text.lines().count()), (150, 150));
}

#[test]
fn what_was_rolled_back_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    use_up(&mut journal, 0..1);
    journal.begin().unwrap();
    let by = Redemption { lane: LaneId::new("lane-1").unwrap(), visit: VisitId(9), at_ms: Some(NOW_MS) };
    journal.write(&Change::Seal { number: "LN9".into(), by }, &now()).unwrap();
    journal.roll_back().unwrap();
    use_up(&mut journal, 1..2);
    assert_eq!(known(folder.path()), 6);
}

#[test]
fn lines_that_the_power_took_come_back_from_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut first = journal(data);
    use_up(&mut first, 0..200);
    drop(first);
    let size = std::fs::metadata(path(data)).unwrap().len();
    for left in [size / 2, 0] {
        File::options().write(true).open(path(data)).unwrap().set_len(left).unwrap();
        drop(journal(data));
        assert_eq!(known(data), 600, "{left} bytes were durable");
    }
}

#[test]
fn what_comes_while_it_is_written_anew_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut first = journal(data);
    use_up(&mut first, 0..ROUND as u64 + 10);
    drop(first);
    let mut file = File::options().append(true).open(path(data)).unwrap();
    file.write_all(b"a damaged line\n").unwrap();
    let mut again = journal(data);
    again.tend_kept().unwrap();
    assert!(path(data).with_extension("log.new").exists(), "a piece of it");
    // Before what is written already, and behind it.
    use_up(&mut again, 90_000..90_001);
    again.begin().unwrap();
    let by = Redemption { lane: LaneId::new("lane-1").unwrap(), visit: VisitId(1), at_ms: Some(NOW_MS) };
    again
        .write(&Change::Redeem { pass_id: "kid:a".into(), shared: None, by, ends_ms: None }, &now())
        .unwrap();
    again.commit().unwrap();
    for _ in 0..5 {
        again.tend_kept().unwrap();
    }
    assert!(!path(data).with_extension("log.new").exists());
    assert_eq!(known(data), 3 * (ROUND + 10) + 4);
    assert!(!std::fs::read_to_string(path(data)).unwrap().contains("damaged"));
}

#[test]
fn of_two_uses_that_are_kept_the_earlier_one_counts_and_what_has_ended_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut first = journal(data);
    use_up(&mut first, 0..1);
    first.begin().unwrap();
    first.keep_floor(NOW_MS).unwrap();
    first.commit().unwrap();
    drop(first);
    let used = |pass: &str, at_ms: i64, until_ms: i64| {
        Fact::Pass(salvage::Use {
            pass: pass.into(),
            lane: "lane-9".into(),
            visit: 9,
            at_ms: Some(at_ms),
            gateway: Some("gw-2".into()),
            teller: None,
            until_ms: Some(until_ms),
        })
    };
    let later = NOW_MS + 1_000;
    let facts = [
        used("kid:pass-00000", NOW_MS - 5, later),
        used("kid:pass-00000", NOW_MS + 5, later),
        used("kid:theirs", NOW_MS - 5, later),
        used("kid:ended", NOW_MS - 5, NOW_MS - 1),
        Fact::Visits(512),
    ];
    let mut file = File::options().append(true).open(path(data)).unwrap();
    for fact in facts {
        file.write_all(line(&fact).1.as_bytes()).unwrap();
    }
    let again = journal(data);
    let at_ms = |pass: &str| again.redeemed(pass).unwrap().map(|by| by.at_ms.unwrap());
    assert_eq!(at_ms("kid:pass-00000"), Some(NOW_MS - 5));
    assert_eq!(at_ms("kid:theirs"), Some(NOW_MS - 5));
    assert_eq!(at_ms("kid:ended"), None);
    assert_eq!(salvage::visits(again.connection()).unwrap(), Some(512));
}
