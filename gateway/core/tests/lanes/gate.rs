//! A lane with its records in memory.

use crate::contract;
use kakou_core::codes::Outcome;
use kakou_core::core::{Core, Input, Step};
use kakou_core::evidence::{GatewayKey, SubjectKeys};
use kakou_core::ids::{DeviceId, LaneId, OfficerId, VisitId};
use kakou_core::lane::Setup;
use kakou_core::lane::action::{Action, Officer, Role};
use kakou_core::lane::sheet::badges::Badges;
use kakou_core::lane::view;
use kakou_core::pass::id::key;
use kakou_core::pass::trust::TrustList;
use kakou_core::profile::{read, shipped};
use kakou_core::reading::{Command, NoData, Photo, Report, Temperature, Ticket};
use kakou_core::records::{Records, RecordsFault, Redemption, Write};
use kakou_core::register::{Slot, SlotName, SlotWrite};
use kakou_core::time::{Now, Quality};
use ring::signature::Ed25519KeyPair;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const WALL: i64 = 1_653_350_400_000;
/// The secret of subject keys that was in use before.
pub const BEFORE: &[u8] = b"an earlier secret";
pub const HOUR: i64 = 3_600_000;

#[derive(Default)]
pub struct Memory {
    pub lists: BTreeMap<(String, String), Map<String, Value>>,
    pub issued: BTreeMap<String, i64>,
    pub redeemed: RefCell<BTreeMap<String, Redemption>>,
    pub seals: RefCell<BTreeSet<String>>,
    pub slots: RefCell<BTreeMap<SlotName, Slot>>,
    pub uses_unknown: bool,
    /// Lists that are damaged: whoever is looked up in one gets no answer.
    pub faulty: BTreeSet<&'static str>,
}

impl Memory {
    fn some(&self, which: impl Fn(&Slot) -> bool) -> Vec<Slot> {
        self.slots.borrow().values().filter(|slot| which(slot)).cloned().collect()
    }

    fn sound(&self, list: &str) -> Result<(), RecordsFault> {
        if self.faulty.contains(list) {
            return Err(RecordsFault::List { list: list.into(), why: "a damaged page".into() });
        }
        Ok(())
    }
}

impl Records for Memory {
    fn entry(&self, list: &str, id: &str) -> Result<Option<Map<String, Value>>, RecordsFault> {
        self.sound(list)?;
        Ok(self.lists.get(&(list.into(), key(list, id).into_owned())).cloned())
    }
    fn issued_ms(&self, list: &str) -> Result<Option<i64>, RecordsFault> {
        Ok(self.issued.get(list).copied())
    }
    fn revoked(&self, kid: &str, id: &str) -> Result<bool, RecordsFault> {
        Ok(self.entry("revocation", &format!("{kid}:{id}"))?.is_some())
    }
    fn redeemed(&self, id: &str) -> Result<Option<Redemption>, RecordsFault> {
        Ok(self.redeemed.borrow().get(id).cloned())
    }
    fn uses_known(&self) -> Result<bool, RecordsFault> {
        Ok(!self.uses_unknown)
    }
    fn seal_used(&self, number: &str) -> Result<bool, RecordsFault> {
        Ok(self.seals.borrow().contains(number))
    }
    fn slots(&self, register: &str, keys: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        Ok(self.some(|slot| slot.register == register && keys.contains(&slot.key)))
    }
    fn slots_of(&self, register: &str, holders: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        Ok(self.some(|slot| slot.register == register && holders.contains(&slot.holder)))
    }
    fn alarms(&self, until_ms: i64, most: usize) -> Result<Vec<Slot>, RecordsFault> {
        let due = self.some(|slot| slot.alarm_ms().is_some_and(|at| at <= until_ms));
        Ok(due.into_iter().take(most).collect())
    }
    fn next_alarm(&self, after_ms: i64) -> Result<Option<i64>, RecordsFault> {
        let due = self.some(|slot| slot.alarm_ms().is_some_and(|at| at > after_ms));
        Ok(due.iter().filter_map(Slot::alarm_ms).min())
    }
}

pub struct Gate {
    pub core: Core,
    pub memory: Memory,
    pub now: Now,
    pub key: Arc<GatewayKey>,
    pub lane: LaneId,
}

pub fn put(memory: &mut Memory, list: &str, id: &str, entry: Value) {
    memory.lists.insert((list.into(), key(list, id).into_owned()), entry.as_object().unwrap().clone());
}

pub fn resident(colour: &str, result: &str, age_h: i64) -> Value {
    json!({ "name": "张小明", "colour": colour, "test_result": result, "sampled_at_ms": WALL - age_h * HOUR })
}

pub fn gate(profile: &str) -> Gate {
    gate_with(profile, &["scanner", "thermometer", "barrier", "camera", "signal"])
}

/// A gate with these devices alone.
pub fn gate_with(profile: &str, roles: &[&str]) -> Gate {
    let (name, text) = shipped::find(profile).unwrap();
    gate_of(name, text, roles)
}

/// A gate with a profile of its own.
pub fn gate_of(name: &str, text: &str, roles: &[&str]) -> Gate {
    gate_signed_on_by((name, text), roles, Badges::default())
}

/// A gate at whose reader these badges sign on.
pub fn gate_signed_on_by(profile: (&str, &str), roles: &[&str], badges: Badges) -> Gate {
    gate_in_mode(profile, roles, badges, false)
}

/// A gate that is practised on.
pub fn training(profile: &str, roles: &[&str]) -> Gate {
    gate_in_mode(shipped::find(profile).unwrap(), roles, Badges::default(), true)
}

fn gate_in_mode((name, text): (&str, &str), roles: &[&str], badges: Badges, training: bool) -> Gate {
    let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let key = Arc::new(GatewayKey::from_pkcs8(der.as_ref()).unwrap());
    let lane = LaneId::new("lane-1").unwrap();
    let setup = Setup {
        lane: lane.clone(),
        profile: read(name, text).unwrap().into(),
        devices: roles.iter().map(|r| ((*r).to_owned(), DeviceId::new(*r).unwrap())).collect(),
        region: "葫芦岛".into(),
        place: kakou_core::lane::PLACE.into(),
        gateway: "gw-1".into(),
        members: BTreeMap::new(),
        profile_hash: String::new(),
        utc_offset_ms: 8 * HOUR,
        trust: Arc::new(TrustList::default()),
        subjects: Arc::new(SubjectKeys::new(1, b"site secret").with_before(std::iter::once(BEFORE))),
        key: key.clone(),
        training,
        badges: Arc::new(badges),
        private: Some(Arc::new(crate::private::Hex)),
    };
    let mut memory = Memory::default();
    for list in ["status", "pass", "revocation", "hold"] {
        memory.issued.insert(list.into(), WALL - HOUR);
    }
    put(&mut memory, "status", "green", resident("green", "negative", 20));
    put(&mut memory, "status", "other", resident("green", "negative", 20));
    put(&mut memory, "status", "late", resident("green", "negative", 49));
    put(&mut memory, "status", "red", resident("red", "negative", 20));
    put(&mut memory, "status", "future", resident("green", "negative", -5));
    put(&mut memory, "status", "held", resident("green", "negative", 20));
    put(&mut memory, "hold", "held", json!({ "code": "x" }));
    let truck = json!({ "plate": "辽P12345", "category": "emergency-supplies", "from": "葫芦岛", "to": "沈阳",
        "uses": 1, "crew": 2, "approvals": ["GX"] });
    put(&mut memory, "pass", "辽P12345", truck.clone());
    let mut unapproved = truck.as_object().unwrap().clone();
    unapproved.extend([("plate".into(), json!("辽P99999")), ("approvals".into(), json!([]))]);
    put(&mut memory, "pass", "辽P99999", Value::Object(unapproved));
    let core = Core::new(vec![setup], BTreeMap::new());
    let now = Now { mono_ms: 1_000_000, wall_ms: Some(WALL), quality: Quality::Synced };
    let mut gate = Gate { core, memory, now, key, lane };
    for role in roles {
        gate.device(role, Report::Link { ready: true });
    }
    gate
}

impl Gate {
    pub fn input(&mut self, input: Input) -> Step {
        let step = self.core.handle(&self.now, input, &self.memory).expect("no list closes the lanes");
        step.events.iter().for_each(contract::hold);
        for write in &step.writes {
            match write {
                Write::Redeem { pass_id, by, .. } => {
                    self.memory.redeemed.borrow_mut().insert(pass_id.clone(), by.clone());
                }
                Write::Seal { number, .. } => {
                    self.memory.seals.borrow_mut().insert(number.clone());
                }
                Write::Slot(write) => {
                    let SlotWrite { register, key, holder, part, .. } = &**write;
                    let name = (register.clone(), key.clone(), holder.clone(), part.clone());
                    let mut slots = self.memory.slots.borrow_mut();
                    let before = slots.remove(&name);
                    slots.insert(name, Slot::after(before, write, "gw-1"));
                }
                Write::Archive { visit, .. } => assert!(visit.shown_until.is_none()),
            }
        }
        step
    }
    pub fn wait(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms = self.now.wall_ms.map(|w| w + i64::try_from(ms).unwrap());
    }
    pub fn device(&mut self, device: &str, report: Report) -> Step {
        self.input(Input::Device { device: DeviceId::new(device).unwrap(), report })
    }
    pub fn scan(&mut self, text: &str) -> Step {
        self.device("scanner", Report::Scan { bytes: text.as_bytes().to_vec() })
    }
    pub fn warm(&mut self, step: &Step, mdeg: i32) -> Step {
        let ticket = ticket(step, &Command::Measure).expect("the thermometer was asked");
        let mut last = Step::default();
        for _ in 0..5 {
            let frame = Temperature {
                object_mdeg: mdeg,
                ambient_mdeg: Some(21_000),
                reference_mdeg: None,
                body_grade: true,
            };
            last = self.device("thermometer", Report::Temperature { ticket, frame });
        }
        last
    }
    pub fn act(&mut self, action: Action) -> Step {
        self.act_as("li", Role::Transport, action)
    }
    pub fn act_as(&mut self, id: &str, role: Role, action: Action) -> Step {
        let officer = Officer { id: OfficerId::new(id).unwrap(), role };
        self.input(Input::Desk { lane: self.lane.clone(), officer, visit: None, action })
    }
    pub fn reprint(&mut self) -> Step {
        self.act(reprint(self.visit_id()))
    }
    pub fn answer(&mut self, question: &str, value: &str) -> Step {
        let step = self.act(Action::Answer { question: question.into(), value: value.into() });
        assert_eq!(step.reply, Some(Ok(())), "{question}={value}");
        step
    }
    pub fn photo(&mut self, step: &Step, sharpness: u32, luma: u8) -> Step {
        let (ticket, role) = step
            .requests
            .iter()
            .find_map(|r| {
                if let Command::Capture { role } = &r.command { Some((r.ticket, role.clone())) } else { None }
            })
            .expect("the camera was asked");
        let sha256 = sha256(&format!("{role}-{}", ticket.0));
        let photo = Photo { sha256, bytes: 9, width: 4, height: 3, sharpness, luma };
        self.device("camera", Report::Photo { ticket, photo })
    }
    pub fn override_to(&self, outcome: Outcome, second: Option<Officer>) -> Action {
        let visit = self.visit_id();
        Action::Override { visit, outcome, reason: "paper_seen".into(), note: String::new(), second }
    }
    /// Overrides a visit that is named.
    pub fn override_of(&mut self, visit: VisitId, outcome: Outcome) -> Step {
        let (reason, note) = ("paper_seen".into(), String::new());
        self.act(Action::Override { visit, outcome, reason, note, second: None })
    }
    /// A pupil goes in, and the barrier confirms.
    pub fn admit(&mut self, card: &str) -> VisitId {
        let step = self.scan(card);
        let step = self.warm(&step, 36_600);
        assert_eq!(verdict(&step).0, "ADMIT", "{card}");
        self.confirm(&step);
        self.visit_id()
    }
    /// The barrier confirms what it was asked for.
    pub fn confirm(&mut self, step: &Step) -> Step {
        let ticket = pulse(step).expect("the barrier was asked");
        self.device("barrier", Report::Done { ticket })
    }
    /// The barrier does not answer.
    pub fn stuck(&mut self, step: &Step) -> Step {
        let ticket = pulse(step).expect("the barrier was asked");
        self.device("barrier", Report::NoData { ticket, why: NoData::Timeout })
    }
    fn around<'a>(&'a self, issued: &'a dyn Fn(&str) -> Option<i64>) -> view::Around<'a> {
        view::Around {
            closed: None,
            upstream: "off",
            waits: self.memory.uses_unknown,
            links: self.core.links(),
            issued,
        }
    }
    /// What the public sees.
    pub fn screen(&self) -> Value {
        let lane = self.core.lane(&self.lane).unwrap();
        let issued = |list: &str| self.memory.issued.get(list).copied();
        let around = self.around(&issued);
        serde_json::to_value(view::screen(lane, &self.now, &around, 1)).unwrap()
    }
    /// What staff see.
    pub fn desk(&self) -> Value {
        let lane = self.core.lane(&self.lane).unwrap();
        let issued = |list: &str| self.memory.issued.get(list).copied();
        let around = self.around(&issued);
        let mut desk = serde_json::to_value(view::desk(lane, &self.now, &around)).unwrap();
        let rows = view::last_visits(lane).map(|v| serde_json::to_value(view::last_visit(lane, v)).unwrap());
        desk["last_visits"] = rows.collect();
        desk
    }
    /// The day's counters: ADMIT, REFER, HOLD, DENY.
    pub fn counters(&self) -> [u64; 4] {
        let desk = self.desk();
        Outcome::ALL.map(|o| desk["counters"][o.as_str()].as_u64().unwrap())
    }
    pub fn visit_id(&self) -> VisitId {
        let state = &self.core.lane(&self.lane).unwrap().state;
        state.visits().next().unwrap().id
    }
}

/// Stands for the hash of a photograph, and tells which one it is.
pub fn sha256(photo: &str) -> String {
    let hex: String = photo.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{hex:0<64}")
}

pub fn ticket(step: &Step, command: &Command) -> Option<Ticket> {
    step.requests.iter().find(|r| r.command == *command).map(|r| r.ticket)
}

/// The lamps that were asked for, in order.
pub fn lamps(step: &Step) -> Vec<Outcome> {
    let of = |r: &kakou_core::reading::Request| {
        if let Command::Signal { outcome, .. } = &r.command { Some(*outcome) } else { None }
    };
    step.requests.iter().filter_map(of).collect()
}

pub fn pulse(step: &Step) -> Option<Ticket> {
    step.requests.iter().find(|r| matches!(r.command, Command::Pulse { .. })).map(|r| r.ticket)
}

pub fn opened(step: &Step) -> bool {
    step.requests.iter().any(|r| matches!(r.command, Command::Pulse { .. }))
}

pub fn verdict(step: &Step) -> (String, Vec<String>) {
    let event = step.events.iter().find(|e| e.kind == "transaction").expect("a verdict");
    let codes = event.data["codes"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned());
    (event.data["outcome"].as_str().unwrap().to_owned(), codes.collect())
}

pub fn kinds(step: &Step) -> Vec<&str> {
    step.events.iter().map(|e| e.kind.as_str()).collect()
}

/// Prints the latest slip of a visit again.
pub fn reprint(visit: VisitId) -> Action {
    Action::Reprint { visit, step: None, reason: "torn".into() }
}
