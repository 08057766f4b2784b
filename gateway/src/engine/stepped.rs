//! The engine stepped by hand: no runtime, no clock, no devices.

use super::tests::{event, list, moment, parts, refuse_commits_after};
use super::*;
use kakou_core::codes::Outcome;
use kakou_core::ids::{DeviceId, OfficerId};
use kakou_core::lane::action::{Action, Officer, Role};
use kakou_core::profile;
use kakou_core::reading::{Command, Report, Ticket};
use kakou_core::time::Quality;
use std::path::Path;
use std::time::Duration;

const PROFILE: &str = "id = \"gate\"\ntitle = { zh = \"试\", en = \"Test\" }\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
    same_read_s = 0\nsame_result_s = 0\n[[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n\
    [[step]]\nkind = \"verify\"\nlists = [\"status\", \"hold\"]\n[[step]]\nkind = \"decide\"\n\
    [[step]]\nkind = \"actuate\"\ndevice = \"barrier\"\n";
const MEASURED: &str = "id = \"gate\"\ntitle = { zh = \"试\", en = \"Test\" }\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
    same_read_s = 0\n[[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n\
    [[step]]\nkind = \"temperature\"\ndevice = \"thermometer\"\n[[step]]\nkind = \"decide\"\n";
const ADMITTED: &str = "ID-1";

/// An engine and the time of its world.
struct World {
    engine: Engine,
    at: Moment,
    arrived: u64,
}

/// A folder with lists and an epoch, and a key: what may not differ between two runs.
fn world(data: &Path, key: &Arc<GatewayKey>, begin: Moment, profile: &'static str) -> World {
    std::fs::write(data.join("epoch"), "41\n").unwrap();
    list(data, "status", &[(ADMITTED, json!({ "name": "张三", "colour": "green" }))]);
    list(data, "hold", &[]);
    let mut parts = parts(data, TrustList::default());
    let signs = key.clone();
    parts.key = key.clone();
    parts.subjects = Arc::new(SubjectKeys::new(1, b"test"));
    parts.setups = Box::new(move |trust, subjects| {
        let device = |role: &str| (role.to_owned(), DeviceId::new(role).unwrap());
        vec![Setup {
            lane: LaneId::new("lane-1").unwrap(),
            profile: profile::read("gate.toml", profile).unwrap().into(),
            devices: BTreeMap::from(["scanner", "barrier", "thermometer"].map(device)),
            region: String::new(),
            place: kakou_core::lane::PLACE.into(),
            gateway: "gw-1".into(),
            members: BTreeMap::new(),
            profile_hash: "hash".into(),
            utc_offset_ms: 0,
            trust: trust.clone(),
            subjects: subjects.clone(),
            key: signs.clone(),
            training: false,
            badges: std::sync::Arc::default(),
            private: None,
        }]
    });
    let mut engine = Engine::open(parts).unwrap();
    assert_eq!(engine.floor_ms(), None);
    engine.start(&begin.now);
    World { engine, at: begin, arrived: 0 }
}

fn key() -> Arc<GatewayKey> {
    let random = ring::rand::SystemRandom::new();
    let der = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    Arc::new(GatewayKey::from_pkcs8(der.as_ref()).unwrap())
}

impl World {
    fn wait(&mut self, ms: u64) {
        self.at.now.mono_ms += ms;
        self.at.now.wall_ms = self.at.now.wall_ms.map(|at| at + ms.cast_signed());
        self.at.files_at += Duration::from_millis(ms);
    }

    fn report(&mut self, device: &str, report: Report) -> Job {
        self.arrived += 1;
        Job::Report(DeviceId::new(device).unwrap(), report, ArrivedNs(self.arrived))
    }

    fn scan(&mut self, code: &str) -> Job {
        self.report("scanner", Report::Scan { bytes: code.as_bytes().to_vec() })
    }

    fn handle(&mut self, jobs: Vec<Job>) -> Effects {
        let now = self.at.now;
        self.engine.handle(&now, &mut jobs.into_iter().map(|job| (now, job)))
    }

    fn upkeep(&mut self) -> Effects {
        self.engine.upkeep(&self.at)
    }
}

fn act(action: Action, reply: usize) -> Job {
    let officer = Officer { id: OfficerId::new("o-1").unwrap(), role: Role::Supervisor };
    let lane = LaneId::new("lane-1").unwrap();
    Job::Input(Input::Desk { lane, officer, visit: None, action }, Some(ReplyTo(reply)))
}

/// The ticket of the pulse that opens.
fn pulse(effects: &Effects) -> Option<Ticket> {
    let pulses =
        |(request, _): &&(kakou_core::reading::Request, _)| matches!(request.command, Command::Pulse { .. });
    effects.commands.iter().find(pulses).map(|(request, _)| request.ticket)
}

/// An hour at a gate; everything that follows, in order.
fn hour(world: &mut World) -> Vec<(MonoMs, Effects)> {
    let mut all = Vec::new();
    for n in 0..120_u64 {
        let jobs = match n % 6 {
            0 => vec![world.scan(ADMITTED), Job::Append(vec![event("audit")], Some(ReplyTo(7)))],
            1 => vec![world.scan(&format!("ID-UNKNOWN-{n}")), Job::Acked(Class::Verdict, n)],
            2 => vec![act(Action::Recheck, 3), Job::Receipted(Class::Verdict, world.engine.epoch(), n / 2)],
            3 => vec![Job::Upstream(if n % 4 == 1 { "online" } else { "offline" })],
            4 => vec![world.scan(ADMITTED), world.scan("ID-2"), Job::Append(vec![event("evidence")], None)],
            _ => Vec::new(),
        };
        let effects = world.handle(jobs);
        let ticket = pulse(&effects);
        all.push((world.engine.deadline(), effects));
        let owed = world.upkeep();
        all.push((world.engine.deadline(), owed));
        if let Some(ticket) = ticket {
            world.wait(3);
            let done = world.report("barrier", Report::Done { ticket });
            let effects = world.handle(vec![done]);
            all.push((world.engine.deadline(), effects));
        }
        let until = world.engine.deadline().saturating_sub(world.at.now.mono_ms);
        world.wait(until.clamp(1, 30_000));
    }
    all
}

#[test]
fn the_same_jobs_at_the_same_times_have_the_same_effects() {
    let (key, begin) = (key(), moment());
    let runs = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        let mut world = world(folder.path(), &key, begin, PROFILE);
        let all = hour(&mut world);
        (all, world.engine.journal().head(), world.engine.positions())
    });
    let [first, second] = runs;
    assert!(first.0.iter().any(|(_, effects)| pulse(effects).is_some()), "the barrier never opened");
    for (n, (one, other)) in first.0.iter().zip(&second.0).enumerate() {
        assert_eq!(one, other, "step {n}");
    }
    assert_eq!(first, second);
}

#[test]
fn a_batch_that_cannot_be_stored_has_no_effects_but_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(folder.path(), &key(), moment(), PROFILE);
    refuse_commits_after(&world.engine, "INSERT ON event");
    let before = (world.engine.journal().head(), world.engine.journal().streams());
    let jobs = vec![
        world.scan(ADMITTED),
        act(Action::Recheck, 1),
        Job::Append(vec![event("audit")], Some(ReplyTo(2))),
        act(Action::Recheck, 3),
    ];
    let lost = world.handle(jobs);
    let refused = |reply| (ReplyTo(reply), Err(Rejection::of("storage", Code::X_STORAGE.text())));
    let lanes = || world.engine.core().lanes().map(|lane| lane.setup.lane.clone()).collect();
    let expected = Effects {
        answers: vec![refused(1), refused(3)],
        closed: Some(Some(Code::X_STORAGE)),
        screens: lanes(),
        counters: vec![("store_failed_total", 1)],
        lines: lost.lines.clone(),
        ..Effects::default()
    };
    assert_eq!(lost, expected);
    assert_eq!((world.engine.journal().head(), world.engine.journal().streams()), before);
    // While nothing can be recorded nothing is decided.
    let jobs = vec![world.scan(ADMITTED), act(Action::Recheck, 4)];
    let closed = world.handle(jobs);
    assert_eq!((closed.answers, closed.outcomes), (vec![refused(4)], Vec::new()));
    assert!(closed.commands.is_empty() && closed.screens.is_empty());
    world.engine.journal().connection().execute_batch("DROP TRIGGER refuse").unwrap();
    while world.engine.closed.is_some() {
        let due = world.engine.deadline();
        world.wait(due.saturating_sub(world.at.now.mono_ms).max(1));
        assert!(world.handle(Vec::new()).commands.is_empty());
        let owed = world.upkeep();
        assert_eq!(owed.closed.flatten(), None, "{owed:?}");
    }
    let admitted = vec![world.scan(ADMITTED)];
    let admitted = world.handle(admitted);
    assert_eq!(admitted.outcomes.first().map(|(_, outcome)| *outcome), Some(Outcome::Admit));
    assert!(pulse(&admitted).is_some());
}

#[test]
fn a_visit_that_has_just_begun_goes_on_behind_a_stop_in_order() {
    let (folder, key, mut begin) = (tempfile::tempdir().unwrap(), key(), moment());
    begin.now.quality = Quality::Synced;
    let mut before = world(folder.path(), &key, begin, MEASURED);
    let scan = vec![before.scan(ADMITTED)];
    let begun = before.handle(scan);
    assert!(begun.outcomes.is_empty(), "somebody is being measured");
    assert!(before.handle(vec![Job::Stop]).stop);
    let ended = before.engine.finish();
    assert_eq!(ended.lines, []);
    let after = world(folder.path(), &key, before.at, MEASURED);
    assert!(after.engine.core().lanes().all(|lane| lane.is_running()), "whoever stands there scans again");
}

#[test]
fn what_the_central_side_has_lost_is_not_forgotten_while_nothing_can_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(folder.path(), &key(), moment(), PROFILE);
    let admitted = vec![world.scan(ADMITTED)];
    world.handle(admitted);
    let (epoch, head) = (world.engine.journal().epoch(), world.engine.journal().streams());
    let class = Class::Verdict;
    let through = head[usize::from(class.number())];
    world.handle(vec![Job::Acked(class, through), Job::Receipted(class, epoch, through)]);
    refuse_commits_after(&world.engine, "INSERT ON event");
    // It comes with the batch that cannot be stored, and once more while nothing can be recorded.
    world.handle(vec![Job::Append(vec![event("audit")], Some(ReplyTo(1))), Job::WentBack(class, epoch, 1)]);
    assert!(world.engine.closed.is_some());
    world.handle(vec![Job::WentBack(class, epoch, 0)]);
    assert_eq!(world.engine.purge(i64::MAX).unwrap(), 0, "what is to be sent again stays");
    world.engine.journal().connection().execute_batch("DROP TRIGGER refuse").unwrap();
    while world.engine.closed.is_some() {
        let due = world.engine.deadline();
        world.wait(due.saturating_sub(world.at.now.mono_ms).max(1));
        world.handle(Vec::new());
        world.upkeep();
    }
    assert!(world.engine.going_back.is_empty(), "it is durable");
    let stands = crate::store::outbox::progress(world.engine.journal().connection(), class).unwrap();
    assert_eq!(stands, (0, 0), "and is delivered anew");
}
