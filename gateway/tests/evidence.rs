//! A file of evidence: what is in it, what is found when somebody changes it, and that the command alone verifies it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_authority::authority::Authority;
use kakou_core::event::{Author, Class, NewEvent};
use kakou_core::evidence::GatewayKey;
use kakou_core::ids::{GatewayId, LaneId, SiteId, VisitId};
use kakou_core::time::{Now, Quality};
use kakou_gateway::evidence::export::{self, Wanted};
use kakou_gateway::evidence::page::Pictures;
use kakou_gateway::evidence::trust::Trust;
use kakou_gateway::evidence::{Content, ledger, verify};
use kakou_gateway::keys;
use kakou_gateway::store::journal::{self, Journal};
use kakou_gateway::store::photos::Photos;
use kakou_provisioning::certificate::pem_der;
use kakou_provisioning::identity;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// 2022-05-24 08:00 at the site.
const MORNING_MS: i64 = 1_653_350_400_000;
const SEED: u64 = 22;

struct Gate {
    folder: tempfile::TempDir,
    roots: String,
    key: GatewayKey,
    photos: [String; 3],
    file: Vec<u8>,
}

fn author() -> Author {
    Author {
        site: SiteId::new("border").unwrap(),
        gateway: GatewayId::new("gw-1").unwrap(),
        boot: "boot-1".into(),
    }
}

struct Writer(Journal, i64);

impl Writer {
    fn add(&mut self, kind: &str, visit: u64, data: Value) {
        let event = NewEvent {
            kind: kind.into(),
            class: if kind == "scan" { Class::Scan } else { Class::Verdict },
            lane: Some(LaneId::new("lane-1").unwrap()),
            visit: Some(VisitId(visit)),
            audience: Vec::new(),
            data,
        };
        self.1 += 1_000;
        let now = Now { mono_ms: self.1.unsigned_abs(), wall_ms: Some(self.1), quality: Quality::Synced };
        self.0.begin().unwrap();
        self.0.append(&event, &now).unwrap();
        self.0.commit().unwrap();
    }
    fn sign(&mut self, key: &GatewayKey) {
        self.0.begin().unwrap();
        self.0.sign(key).unwrap();
        self.0.commit().unwrap();
    }
}

fn seal(key: &GatewayKey, number: &str, parent: Option<&str>, photos: &[&String]) -> (Value, Value) {
    let roles = ["closeup", "overall"];
    let photos: Vec<Value> =
        photos.iter().zip(roles).map(|(sha, role)| json!({ "role": role, "sha256": sha })).collect();
    let mut one = json!({ "number": number, "kind": "bolt", "door": "rear" });
    if let Some(parent) = parent {
        one["parent"] = json!(parent);
    }
    let record = json!({ "plate": "辽P12345", "seals": [one], "photos": photos });
    let manifest = record.to_string();
    let signature = key.sign(manifest.as_bytes());
    (record, json!({ "manifest": manifest, "signature": signature, "alg": "Ed25519" }))
}

/// A gate where a truck was sealed (visit 7), resealed (9) and checked with a breach (11), among others.
fn gate() -> Gate {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let authority = Authority::make(&folder.path().join("ca"), "Border authority").unwrap();
    let request = identity::request("box").unwrap();
    let cert = authority.client(&pem_der(&request.csr_pem).unwrap(), "border.gw-1", 90).unwrap();
    std::fs::create_dir_all(data.join("enrolled")).unwrap();
    std::fs::write(data.join("enrolled/device.pem"), cert).unwrap();
    std::fs::write(data.join("enrolled/device.key"), &request.key_pem).unwrap();
    let key = keys::gateway_key(&data).unwrap();
    let store = Photos::open(&data).unwrap();
    let photos = [3_u8, 5, 7].map(|n| store.save(&[vec![0xff, 0xd8, n], vec![n; 900]].concat()).unwrap());
    let (journal, ..) = Journal::open(&data, author()).unwrap();
    let mut w = Writer(journal, MORNING_MS);
    for n in 0..5 {
        w.add("transaction", 1 + n, json!({ "outcome": "ADMIT", "subject": format!("somebody-{n}") }));
    }
    w.sign(&key);
    w.add("transaction", 7, json!({ "outcome": "ADMIT", "codes": [], "plate": "辽P12345" }));
    w.add("transaction", 8, json!({ "outcome": "DENY", "subject": "another-person" }));
    let (record, evidence) = seal(&key, "LN0045678", None, &[&photos[0], &photos[1]]);
    w.add("seal_applied", 7, record);
    w.add("evidence", 7, evidence);
    w.sign(&key);
    for n in 0..20 {
        w.add("transaction", 100 + n, json!({ "outcome": "ADMIT", "subject": format!("later-{n}") }));
    }
    w.sign(&key);
    let (record, evidence) = seal(&key, "LN0045679", Some("LN0045678"), &[&photos[2]]);
    w.add("seal_applied", 9, record);
    w.add("evidence", 9, evidence);
    w.sign(&key);
    w.add("scan", 10, json!({ "text": "x" }));
    w.add("seal_breach", 11, json!({ "plate": "辽P12345", "expected": ["LN0045679"], "read": [] }));
    drop(w);
    let roots = std::fs::read_to_string(folder.path().join("ca/root.pem")).unwrap();
    let (file, made) = export::export(&data, &wanted("7")).unwrap();
    assert_eq!(made.visits, ["lane-1/7", "lane-1/9", "lane-1/11"]);
    assert_eq!((made.records, made.photos, made.certified), (6, 3, true));
    Gate { folder, roots, key, photos, file }
}

fn wanted(visit: &str) -> Wanted {
    let now = kakou_link::clock::Clock::system().now().wall_ms.unwrap();
    Wanted { visit: visit.into(), identity: None, now_ms: now, utc_offset_minutes: 480 }
}

impl Gate {
    fn roots(&self) -> Trust {
        Trust::Roots(self.roots.clone())
    }
    fn problems(&self, file: &[u8]) -> Vec<String> {
        verify::verify(file, &self.roots()).problems
    }
    /// What is found in a file with a change, although the gateway's own key has signed it.
    fn after(&self, change: impl FnOnce(&mut Content, &mut Pictures)) -> Vec<String> {
        let (mut content, mut pictures) = verify::read(&self.file).unwrap();
        change(&mut content, &mut pictures);
        self.problems(&export::signed(&content, &pictures, &self.key))
    }
}

fn named(problems: &[String], words: &str) {
    assert!(problems.iter().any(|p| p.contains(words)), "{words}: {problems:#?}");
}

#[test]
fn the_sealing_the_reseal_and_the_breach_are_in_one_file_that_verifies_and_tells_nothing_of_others() {
    let gate = gate();
    let v = verify::verify(&gate.file, &gate.roots());
    assert_eq!(v.problems, Vec::<String>::new());
    assert_eq!((v.records, v.photos), (6, 3));
    assert!(v.heads >= 4 && v.links > 6, "{v:?}");
    let text = String::from_utf8(gate.file.clone()).unwrap();
    for of_others in ["somebody-", "another-person", "later-"] {
        assert!(!text.contains(of_others), "{of_others}");
    }
    for needed in ["辽P12345", "LN0045678", "LN0045679", "重新加封", "breach"] {
        assert!(text.contains(needed), "{needed}");
    }
    assert!(!text.contains("<script>") && !text.contains("http://"), "nothing runs and nothing is fetched");
    // What lies between the visits is proved by heads and not carried along.
    let (content, _) = verify::read(&gate.file).unwrap();
    assert!(content.segments.len() > 1, "{:?}", content.segments);
    // By the key of the gateway as well.
    let key = Trust::Key(kakou_core::pass::hex(gate.key.public()));
    assert_eq!(verify::verify(&gate.file, &key).problems, Vec::<String>::new());
}

#[test]
fn each_of_five_hundred_random_single_byte_changes_is_found() {
    let gate = gate();
    let mut state = SEED;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    for n in 0..500 {
        let mut file = gate.file.clone();
        let at = next() % file.len();
        let change = u8::try_from(1 + next() % 255).unwrap();
        file[at] ^= change;
        assert!(!gate.problems(&file).is_empty(), "seed {SEED}, change {n}: byte {at} by {change}");
    }
}

#[test]
fn every_change_of_structure_is_found_and_named_even_with_the_key_of_the_gateway() {
    let gate = gate();
    let photo = gate.photos[0].clone();
    let change = gate.after(|_, p| p.get_mut(&photo).unwrap()[100] ^= 1);
    named(&change, &format!("photograph {photo} (closeup) was changed"));
    named(&gate.after(|_, p| drop(p.remove(&photo))), &format!("photograph {photo} (closeup) is missing"));
    let gone = gate.after(|c, p| {
        p.remove(&photo);
        c.photos.retain(|named| named.sha256 != photo);
    });
    named(&gone, &format!("photograph {photo} is missing: a record names it"));
    let (content, _) = verify::read(&gate.file).unwrap();
    let (first, second) = (content.numbers[0], content.numbers[1]);
    named(&gate.after(|c, _| c.records[0].seq += 50), &format!("record {first} is missing"));
    let changed = format!("record {first}: it was changed, or its number or time was");
    named(
        &gate.after(|c, _| c.records[0].body = c.records[0].body.replace("2022-05-24T00", "2022-05-24T01")),
        &changed,
    );
    named(&gate.after(|c, _| c.records[0].body = c.records[0].body.replace("ADMIT", "HOLD")), &changed);
    let number = |c: &mut Content| {
        c.records[0].body = c.records[0].body.replace(&format!("gw-1/{}/{first}", c.epoch), "gw-1/1/999");
    };
    named(&gate.after(|c, _| number(c)), &changed);
    named(&gate.after(|c, _| c.records.swap(0, 1)), &format!("record {first} is in another order"));
    named(&gate.after(|c, _| drop(c.records.remove(1))), &format!("record {second} is missing"));
    // Also from the chain, so that the file knows nothing of it any more.
    let hidden = gate.after(|c, _| {
        c.records.remove(1);
        c.numbers.remove(1);
        let at = usize::try_from(second - c.segments[0].after - 1).unwrap();
        c.segments[0].bodies.remove(at);
    });
    named(&hidden, "are missing: a signed head names them");
    named(&gate.after(|c, _| c.segments[0].bodies.swap(0, 1)), "one is missing, changed or in another order");
    let cut = gate.after(|c, _| drop(c.segments.last_mut().unwrap().bodies.pop()));
    named(&cut, "are missing: a signed head names them");
    let cut = gate.after(|c, _| drop(c.segments.last_mut().unwrap().heads.pop()));
    named(&cut, "the tail was cut off");
    named(&gate.after(|c, _| c.segments[0].heads[0].seq += 1), "does not verify");
    named(&gate.after(|c, _| c.visits = vec!["lane-1/8".into()]), "it is of another visit");
    named(&gate.after(|c, _| c.gateway = "gw-2".into()), "are of border.gw-2");
}

#[test]
fn a_file_that_was_cut_or_added_to_is_found_wherever_it_was_cut() {
    let gate = gate();
    for length in (0..gate.file.len()).step_by(997).chain([gate.file.len() - 1]) {
        assert!(!gate.problems(&gate.file[..length]).is_empty(), "{length}");
    }
    named(&gate.problems(&gate.file[..gate.file.len() - 200]), "the end of the file was cut off");
    let added = [gate.file.as_slice(), b"<p>more</p>"].concat();
    named(&gate.problems(&added), "is not whole");
}

#[test]
fn a_page_that_says_something_else_than_the_records_is_found() {
    let gate = gate();
    let text = String::from_utf8(gate.file.clone()).unwrap();
    let changed = text.replacen("<td>LN0045678</td>", "<td>LN0045670</td>", 1);
    assert_ne!(text, changed);
    named(&gate.problems(changed.as_bytes()), "the page for people was changed");
}

#[test]
fn a_file_that_was_signed_anew_as_a_whole_fails() {
    let gate = gate();
    let forger = tempfile::tempdir().unwrap();
    let key = keys::gateway_key(forger.path()).unwrap();
    let (mut content, pictures) = verify::read(&gate.file).unwrap();
    content.key.public = kakou_core::pass::hex(key.public());
    let anew = |content: &Content| gate.problems(&export::signed(content, &pictures, &key));
    named(&anew(&content), "has no valid word of the box's certificate");
    // With a root of his own, everything in the file fits together.
    let other = Authority::make(&forger.path().join("ca"), "Border authority").unwrap();
    let request = identity::request("box").unwrap();
    let cert = other.client(&pem_der(&request.csr_pem).unwrap(), "border.gw-1", 90).unwrap();
    let files = (forger.path().join("c.pem"), forger.path().join("c.key"));
    std::fs::write(&files.0, cert).unwrap();
    std::fs::write(&files.1, &request.key_pem).unwrap();
    let own = Wanted { identity: Some(files), ..wanted("7") };
    let (file, _) = export::export(&gate.folder.path().join("data"), &own).unwrap();
    named(&gate.problems(&file), "is not one of the given root");
    let its = Trust::Roots(std::fs::read_to_string(forger.path().join("ca/root.pem")).unwrap());
    assert_eq!(verify::verify(&file, &its).problems, Vec::<String>::new(), "it is good but for the root");
    // Another box of the same fleet cannot speak for this one.
    let authority = Authority::open(&gate.folder.path().join("ca")).unwrap();
    let cert = authority.client(&pem_der(&request.csr_pem).unwrap(), "border.gw-2", 90).unwrap();
    std::fs::write(&own.identity.as_ref().unwrap().0, cert).unwrap();
    let (file, _) = export::export(&gate.folder.path().join("data"), &own).unwrap();
    named(&gate.problems(&file), "is that of border.gw-2");
}

#[test]
fn a_visit_that_is_not_there_says_what_to_do() {
    let gate = gate();
    let data = gate.folder.path().join("data");
    let why = export::export(&data, &wanted("4711")).unwrap_err().to_string();
    assert!(why.contains("4711") && why.contains("another gateway"), "{why}");
}

fn kakou(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(folder.join("kakou"));
    let out = command.args(arguments).current_dir(folder).env_clear().output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (out.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_command_alone_verifies_in_a_folder_that_has_nothing_else() {
    let gate = gate();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_kakou"), folder.path().join("kakou")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("truck.html", &gate.file);
    write("root.pem", gate.roots.as_bytes());
    let (code, said) = kakou(folder.path(), &["evidence", "verify", "truck.html", "--root", "root.pem"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("VERIFIED") && said.contains("lane-1/7"), "{said}");
    let text = String::from_utf8(gate.file.clone()).unwrap();
    write("other.html", text.replacen("ADMIT", "HOLD!", 2).as_bytes());
    let (code, said) =
        kakou(folder.path(), &["evidence", "verify", "other.html", "--root", "root.pem", "--json"]);
    assert_eq!(code, Some(3), "{said}");
    let (code, said) = kakou(folder.path(), &["evidence", "verify", "truck.html"]);
    assert_eq!(code, Some(2), "a root is asked for: {said}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|f| f.file_name()).collect();
    assert_eq!(left.len(), 4, "nothing is left behind: {left:?}");
}

#[test]
fn the_ledger_of_a_day_has_every_record_and_states_its_gaps() {
    let gate = gate();
    let data = gate.folder.path().join("data");
    let eight_h = 8 * 3_600_000;
    let begin = ledger::begin_ms("2022-05-24", eight_h).unwrap();
    assert!(ledger::begin_ms("24.5.2022", eight_h).is_none());
    let read = |begin, now| ledger::read(&journal::reader(&data).unwrap(), begin, eight_h, now).unwrap();
    let day = read(begin, i64::MAX);
    assert_eq!((day.day.as_str(), day.complete, day.entries.len()), ("2022-05-24", true, 33));
    assert_eq!(day.receipted, 0);
    assert!(read(begin + ledger::DAY_MS, i64::MAX).entries.is_empty());
    let csv = day.csv();
    assert!(csv.starts_with("\u{feff}number,time,clock") && csv.contains("辽P12345"), "{csv}");
    assert_eq!(csv.matches("\r\n").count(), 34);
    let running = read(begin, begin + 1);
    assert_eq!((running.complete, running.gaps[0].kind), (false, "running"));
    let file = rusqlite::Connection::open(journal::path(&data)).unwrap();
    file.execute_batch("DELETE FROM event WHERE seq IN (4, 5)").unwrap();
    let day = read(begin, i64::MAX);
    assert_eq!((day.complete, day.gaps.len()), (false, 1));
    assert_eq!(day.gaps[0].text, "events 4 to 5 are not in the journal");
    assert!(day.csv().contains("GAP missing"));
}
