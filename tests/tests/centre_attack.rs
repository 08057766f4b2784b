//! One gateway of the fleet is in bad hands and says to the central side what it likes: over a real Mosquitto with mutual
//! TLS and the access list that ships, into a real PostgreSQL, with the programs as they are run. What others send is
//! stored and receipted, and what was receipted stays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_core::evidence::Hash;
use kakou_tests::brokers::{self, Mosquitto, skip_without};
use kakou_tests::central::panels;
use kakou_tests::daemon::programs;
use kakou_tests::fleet::{self, Central};
use kakou_tests::postgres::{self, Postgres};
use kakou_tests::wait;
use kakou_wire::photo::CHUNK;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Who is in bad hands, and who is not.
const BAD: (&str, &str) = ("school", "gw-1");
const GOOD: (&str, &str) = ("hospital", "gw-1");

/// The broker of a fleet and its people.
struct Fleet {
    folder: tempfile::TempDir,
    _broker: Mosquitto,
    central: Central,
    url: String,
}

fn fleet() -> Option<Fleet> {
    if skip_without("mosquitto", brokers::installed().is_some())
        || skip_without("postgresql", postgres::installed().is_some())
    {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = fleet::access_list(folder.path(), &[BAD, GOOD]);
    broker.start();
    let central = Central::new(folder.path(), broker.port);
    let url = format!("mqtts://127.0.0.1:{}", broker.port);
    Some(Fleet { folder, _broker: broker, central, url })
}

/// A program of the central side, which may be killed and started again.
struct Program {
    arguments: Vec<String>,
    folder: PathBuf,
    child: Option<Child>,
}

impl Program {
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn start(&mut self) {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = Command::new(programs().join("kakou"))
            .current_dir(&self.folder)
            .args(&self.arguments)
            .env("KAKOU_LOG", "info")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// What it holds in memory, in bytes.
    fn memory(&self) -> usize {
        let pid = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn topic(of: (&str, &str), rest: &str) -> String {
    format!("kakou/v1/{}/{}/{rest}", of.0, of.1)
}

/// As a gateway makes it, except for what is said.
fn event_of(of: (&str, &str), seq: u64, kind: &str, more: &str, data: &str) -> String {
    let (site, gateway) = of;
    format!(
        r#"{{"specversion":"1.0","id":"{gateway}/1/{seq}","source":"/kakou/{site}/{gateway}","type":"{kind}","stream":"verdict","streamseq":{seq},"time":"2022-05-24T00:00:00Z","subject":"gate"{more},"data":{data}}}"#
    )
}

fn event(of: (&str, &str), seq: u64) -> String {
    event_of(of, seq, "kakou.transaction.v1", "", r#"{"outcome":"ADMIT"}"#)
}

impl Fleet {
    fn program(&self, what: &[&str]) -> Program {
        let at = ["--broker", &self.url, "--ca", "ca.pem", "--cert", "central.pem", "--key", "central.key"];
        let arguments = [&["central", what[0]], &at[..], &what[1..]].concat();
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut program = Program { arguments, folder: self.folder.path().to_path_buf(), child: None };
        program.start();
        program
    }

    fn says(&self, of: (&str, &str), rest: &str, body: &[u8]) {
        let who = format!("{}.{}", of.0, of.1);
        self.central.publish(&who, &topic(of, rest), body).unwrap();
    }

    /// A gateway sends events; gives what it was told until all up to the last are receipted.
    fn receipted(&self, of: (&str, &str), events: &[String], last: u64, program: &Program) -> Vec<Value> {
        let told = self.receipted_within(LIMIT, of, "evt/verdict", events, last);
        told.unwrap_or_else(|| panic!("{of:?} has no receipt up to {last}:\n{}", program.log()))
    }

    fn receipted_within(
        &self,
        limit: Duration,
        of: (&str, &str),
        rest: &str,
        events: &[String],
        last: u64,
    ) -> Option<Vec<Value>> {
        let who = format!("{}.{}", of.0, of.1);
        let words: Vec<_> = events.iter().map(|e| (topic(of, rest), e.clone().into_bytes())).collect();
        let wanted = |r: &Value| r["stream"] == "verdict" && r["through_seq"].as_u64() >= Some(last);
        self.central.converse(&who, &topic(of, "rcpt"), &words, limit, wanted)
    }

    /// The program listens when the first event of the other gateway is receipted.
    fn ready(&self, program: &Program) {
        let mut soon = Duration::from_millis(500);
        let first = wait::try_until(LIMIT, || {
            soon *= 2;
            self.receipted_within(soon, GOOD, "evt/verdict", &[event(GOOD, 1)], 1)
        });
        assert!(first.is_some(), "it does not listen:\n{}", program.log());
    }
}

fn look<T>(database: &Postgres, sql: &str) -> Vec<T>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = database.look().await.unwrap();
        client
            .query(sql, &[])
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"))
            .iter()
            .map(|r| r.get(0))
            .collect()
    })
}

#[test]
fn no_event_of_one_gateway_keeps_the_events_of_others_from_the_database_or_blinds_a_view() {
    let Some(fleet) = fleet() else { return };
    let database = Postgres::start().unwrap();
    let url = database.url();
    let mut ingest = fleet.program(&["ingest", "--database", &url]);
    fleet.ready(&ingest);
    // What no check of ours knows: somebody's own rule in the database.
    look::<i32>(&database, "ALTER TABLE event ADD CONSTRAINT own CHECK (body::text NOT LIKE '%never%')");
    let (clock, verdict) = ("kakou.clock.v1", "kakou.transaction.v1");
    let noise: String = (0_u32..1_500).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761))).collect();
    let bad = [
        event_of(BAD, 2, clock, r#","x":"\ud800""#, "{}"),
        event_of(BAD, 3, clock, &format!(",\"boot\":\"{noise}\""), "{}"),
        event_of(BAD, 4, clock, r#","x":"\u0000""#, r#"{"offset_ms":5}"#),
        event_of(BAD, 5, verdict, r#","x":"never""#, "{}"),
        event_of(BAD, 6, verdict, "", &format!("{{\"subject_key\":\"{}\"}}", "z".repeat(400_000))),
        event_of(BAD, 7, verdict, "", &format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000))),
        event_of(BAD, 8, clock, r#","clocksynced":"zonk""#, r#"{"offset_ms":"zonk"}"#),
        event_of(BAD, 9, verdict, r#","monoms":"\u001b[2J\u202ex""#, "{}"),
        event(BAD, 10).replace("/kakou/school/gw-1", "/kakou/hospital/gw-1"),
        event_of(BAD, 11, verdict, r#","x":"\ud800 \u0000 \u001b]0;own\u0007""#, "{}"),
    ];
    for text in ["{", "[]", "[1,2,3]", "\u{1b}[2J", r#"{"id":"gw-9/1/1","stream":"verdict","streamseq":1}"#] {
        fleet.says(BAD, "evt/verdict", text.as_bytes());
    }
    fleet.says(BAD, "evt/verdict", format!("[{}]", vec!["{}"; 20_000].join(",")).as_bytes());
    fleet.says(BAD, "evt/verdict", b"[\xff\xfe]");
    for text in [
        "{\"days\":",
        "7",
        "[{}]",
        "{\"certificate\":{\"days\":\"zonk\"},\"outbox\":\"zonk\",\"counters\":7}",
    ] {
        fleet.says(BAD, "health", text.as_bytes());
    }
    fleet.says(BAD, "health", b"{\"version\":\"\\u0000\",\"box\":{\"temp_c\":1e999}}");
    fleet.says(
        BAD,
        "state",
        br#"{"online":true,"epoch":1,"floor":{"scan":18446744073709551615},"heads":{"scan":-1}}"#,
    );
    let batch = format!("[{},{}]", bad.join(","), event(BAD, 1));
    let told = fleet.receipted(BAD, &[batch], 11, &ingest);
    let refused: Vec<(u64, &str)> = told
        .iter()
        .flat_map(|r| r["refused"].as_array().into_iter().flatten())
        .map(|r| (r["seq"].as_u64().unwrap(), r["why"].as_str().unwrap()))
        .collect();
    for seq in 2..=10 {
        let why = refused.iter().find(|(n, _)| *n == seq).unwrap_or_else(|| panic!("{seq}: {told:?}")).1;
        assert!(!why.is_empty() && why.chars().count() <= 301 && !why.contains(char::is_control), "{why:?}");
    }
    // Others go on, at once and after a start.
    fleet.receipted(GOOD, &[event(GOOD, 2), event(GOOD, 3)], 3, &ingest);
    ingest.kill();
    ingest.start();
    fleet.receipted(GOOD, &[event(GOOD, 4)], 4, &ingest);
    let of = |table: &str, of: (&str, &str)| {
        let sql = format!("SELECT stream_seq FROM {table} WHERE site = '{}' ORDER BY stream_seq", of.0);
        look::<i64>(&database, &sql)
    };
    assert_eq!(of("event", GOOD), [1, 2, 3, 4]);
    assert_eq!((of("event", BAD), of("refused", BAD)), (vec![1, 11], (2..=10).collect()));
    let bytes = look::<Vec<u8>>(&database, "SELECT body FROM refused WHERE stream_seq = 5");
    assert_eq!(bytes[0], bad[3].as_bytes(), "as it came");
    let page = look::<String>(&database, "SELECT site || ' ' || events FROM refused_by_gateway");
    assert_eq!(page, ["school 9"]);
    look::<String>(&database, "SELECT kind FROM event_time WHERE corrected IS NOT NULL OR quality <> ''");
    for sql in panels() {
        look::<i32>(&database, &format!("SELECT 1 FROM ({sql}) AS panel"));
    }
    let log = ingest.log();
    let odd = log.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
    assert_eq!(odd, None, "{log}");
    assert!(!log.contains("skipping"), "that a table is there already is no news: {log}");
    assert!(log.lines().count() < 60 && log.lines().all(|l| l.chars().count() < 600), "{log}");
}

#[test]
fn no_event_of_one_gateway_makes_the_file_forget_or_falsify_what_was_receipted() {
    let Some(fleet) = fleet() else { return };
    let file = fleet.folder.path().join("events");
    let mut listen = fleet.program(&["listen", "--out", "events"]);
    fleet.ready(&listen);
    fleet.receipted(GOOD, &(2..=5).map(|n| event(GOOD, n)).collect::<Vec<_>>(), 5, &listen);
    let lines = |text: String| text.replace(',', ",\r\n\t ").replace('{', "{\n\n");
    let forged = |n| event(BAD, n).replace("/kakou/school/gw-1", "/kakou/hospital/gw-1");
    let twice = |n| forged(n).replace("\"type\"", "\"source\":\"/kakou/school/gw-1\",\"type\"");
    let bad = [
        lines(event(BAD, 1)),
        event(BAD, 2).replace("/kakou/school/gw-1", "x"),
        forged(3),
        lines(forged(4)),
        twice(5),
        event_of(BAD, 6, "kakou.transaction.v1", r#","x":"\n{\"id\":\"gw-1/1/6\"}\r""#, "{}"),
    ];
    fleet.receipted(BAD, &bad, 6, &listen);
    for n in 6..=15 {
        fleet.says(BAD, "evt/verdict", forged(n).as_bytes());
        fleet.says(BAD, "late/verdict", lines(forged(n)).as_bytes());
    }
    // Nothing up to the largest number will come any more: a receipt for it would be one for everything.
    fleet.says(BAD, "state", br#"{"online":true,"epoch":1,"floor":{"verdict":18446744073709551615}}"#);
    fleet.receipted(GOOD, &(6..=10).map(|n| event(GOOD, n)).collect::<Vec<_>>(), 10, &listen);
    let before = std::fs::read_to_string(&file).unwrap();
    listen.kill();
    // As if the power had gone in the middle of a line.
    let mut cut = before.clone().into_bytes();
    cut.extend_from_slice(b"{\"site\":\"hospital\",\"gateway\":\"gw-1\",\"event\":{\"id\":\"gw-1/1/11\"");
    std::fs::write(&file, cut).unwrap();
    listen.start();
    // Sent once more, as after a receipt that was lost, with those behind.
    fleet.receipted(GOOD, &(1..=15).map(|n| event(GOOD, n)).collect::<Vec<_>>(), 15, &listen);
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.starts_with(&before), "nothing is cut but the line that had no end");
    let stored = |site: &str, text: &str| -> Vec<Value> {
        let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|line| line["site"] == site).map(|line| line["event"].clone()).collect()
    };
    let good = stored(GOOD.0, &after);
    let sent: Vec<Value> = (1..=15).map(|n| serde_json::from_str(&event(GOOD, n)).unwrap()).collect();
    assert_eq!(good, sent, "each once, and none of another");
    assert!(listen.log().contains("events: 12 events known"), "{}", listen.log());
    assert!(stored(BAD.0, &after).iter().all(|e| e["source"] == "/kakou/school/gw-1"), "{after}");
}

#[test]
fn photographs_of_one_gateway_fill_neither_memory_nor_disk_and_push_out_nobody_elses() {
    let Some(fleet) = fleet() else { return };
    let database = Postgres::start().unwrap();
    let url = database.url();
    let quota = ["--photo-quota-mb", "16"];
    let ingest = fleet.program(&[&["ingest", "--database", &url, "--photos", "photos"][..], &quota].concat());
    fleet.ready(&ingest);
    let photo = |of: (&str, &str), bytes: &[u8], chunks: usize| {
        let sha256 = Hash::of(bytes).hex();
        let init =
            json!({ "bytes": bytes.len(), "chunks": bytes.len().div_ceil(CHUNK), "chunk_bytes": CHUNK });
        let mut words = vec![(topic(of, &format!("photo/{sha256}/init")), init.to_string().into_bytes())];
        let of_chunk =
            |(n, chunk): (usize, &[u8])| (topic(of, &format!("photo/{sha256}/{n}")), chunk.to_vec());
        words.extend(bytes.chunks(CHUNK).enumerate().take(chunks).map(of_chunk));
        words
    };
    let honest: Vec<u8> = (0..=250_u8).cycle().take(CHUNK * 2 + 9).collect();
    let begun = photo(GOOD, &honest, 1);
    fleet.central.flood_all("hospital.gw-1", begun).unwrap();
    let folder = fleet.folder.path().join("photos");
    wait::until("the beginning of a photograph", LIMIT, || (bytes_in(&folder) > 0).then_some(()));
    let before = ingest.memory();
    // Photographs without an end, each almost whole: 3 MiB of 4 MiB.
    for n in 0..12_u8 {
        let bytes = vec![n; 4 << 20];
        fleet.central.flood_all("school.gw-1", photo(BAD, &bytes, 192)).unwrap();
    }
    // All of it was looked at when this is receipted, and what is behind it goes the same way.
    let last = fleet.receipted_within(LIMIT, BAD, "late/verdict", &[event(BAD, 1)], 1);
    assert!(last.is_some(), "{}", ingest.log());
    let rest = photo(GOOD, &honest, 3);
    let rest: Vec<_> = rest.into_iter().enumerate().filter(|(n, _)| *n != 1).map(|(_, word)| word).collect();
    let whole = |r: &Value| r["photo"].is_string() && r["have"] == r["of"];
    let answers = fleet.central.converse("hospital.gw-1", &topic(GOOD, "rcpt"), &rest, LIMIT, whole);
    let begun = answers.unwrap_or_else(|| panic!("no receipt of the photograph:\n{}", ingest.log()));
    assert_eq!(begun[0]["have"], 1, "what was begun is still there: {begun:?}");
    let grown = ingest.memory().saturating_sub(before);
    // 36 MiB came in; what is on its way at once depends on how fast the disk is.
    assert!(grown < 24 << 20, "{grown} bytes of memory");
    let lies = bytes_in(&folder);
    assert!(lies < (17 << 20) + honest.len(), "{lies} bytes on the disk");
    let log = ingest.log();
    assert!(log.contains("school/gw-1") && log.contains("--photo-quota-mb"), "{log}");
    assert!(log.lines().count() < 60, "{log}");
}

fn bytes_in(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|f| match f.metadata() {
            Ok(m) if m.is_dir() => bytes_in(&f.path()),
            Ok(m) => usize::try_from(m.len()).unwrap(),
            Err(_) => 0,
        })
        .sum()
}

/// Ends a flood, also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_gateway_that_speaks_without_end_keeps_no_receipt_from_another() {
    let Some(fleet) = fleet() else { return };
    let database = Postgres::start().unwrap();
    let url = database.url();
    let ingest = fleet.program(&["ingest", "--database", &url]);
    fleet.ready(&ingest);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // What needs no acknowledgement, and comes as fast as the broker takes it.
        let flood = scope.spawn(|| {
            let health = json!({ "version": "1", "x": "y".repeat(200) }).to_string();
            let state = json!({ "online": true, "epoch": 1, "x": "y".repeat(200) }).to_string();
            let words =
                [(topic(BAD, "health"), health.into_bytes()), (topic(BAD, "state"), state.into_bytes())];
            fleet.central.drown("school.gw-1", &words, &end).unwrap()
        });
        let ends = Ends(&end);
        fleet.receipted(GOOD, &[event(GOOD, 2)], 2, &ingest);
        drop(ends);
        assert!(flood.join().unwrap() > 1_000);
    });
    let log = ingest.log();
    assert!(!log.contains("begun anew") && !log.contains("more messages"), "{log}");
}
