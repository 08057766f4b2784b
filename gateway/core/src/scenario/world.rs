//! The gateway of a play: the real core over a store, a clock that stands until something moves it, and devices that
//! do at once what they are told.

use super::Profiles;
use super::console::Verdict;
use super::file::{Mistake, Scenario};
use super::passes::{self, Made};
use super::shown::Shown;
use super::store::{Entries, Store};
use super::verb::Act;
use crate::core::{Core, Input, Step};
use crate::event::NewEvent;
use crate::evidence::{GatewayKey, Hash, SubjectKeys};
use crate::ids::{DeviceId, LaneId, VisitId};
use crate::lane::step::decide;
use crate::lane::visit::{Origin, Stage, Visit};
use crate::lane::{Lane, Setup};
use crate::pass::Pass;
use crate::pass::id::key;
use crate::pass::trust::TrustList;
use crate::profile::{DeviceKind, Profile, Step as ProfileStep, StepKind};
use crate::reading::{Command, NoData, Report, Request, Ticket};
use crate::records::RecordsFault;
use crate::time::{Now, Quality, WallMs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The gateway of a play.
pub const GATEWAY: &str = "gw-1";
/// The camera of a lane that only reads plates.
const PLATE_CAMERA: &str = "plate-camera";
/// A box that has just been switched on.
const BOOTED_MS: u64 = 60_000;
/// Times that a lane may be woken within one moment: more of them are a fault of the lane.
const WOKEN_MOST: usize = 10_000;

/// Why an act could not be played to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The gateway rejects it.
    Rejected(&'static str, String),
    /// Something else is wrong.
    Failed(String),
}

impl From<RecordsFault> for Stopped {
    fn from(fault: RecordsFault) -> Self {
        Self::Failed(fault.to_string())
    }
}

/// What came at a lane since it was looked at.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub events: Vec<String>,
    pub opened: bool,
    pub slips: Vec<String>,
}

/// A lane of the play.
struct PlayLane {
    name: String,
    text: String,
    members: BTreeMap<String, (String, String)>,
    place: String,
    came: Came,
}

/// A device of the play.
pub(super) struct Device {
    pub lane: LaneId,
    pub role: String,
    pub kind: DeviceKind,
    pub lost: bool,
    pub prints: bool,
}

/// The gateway.
pub(super) struct World<'a> {
    pub store: &'a mut dyn Store,
    pub core: Core,
    pub now: Now,
    pub utc_offset_ms: i64,
    pub passes: BTreeMap<String, Made>,
    pub devices: BTreeMap<DeviceId, Device>,
    /// The visits of the file in the order in which they began.
    pub visits: Vec<(LaneId, VisitId)>,
    pub subjects: Arc<SubjectKeys>,
    pub lists: BTreeMap<String, (WallMs, Entries)>,
    /// The texts that the file names.
    pub texts: Vec<String>,
    pub trace: &'a mut dyn FnMut(&str),
    /// Every decision, in order: of which visit, its outcome and codes.
    pub decided: Vec<(Option<VisitId>, String, Vec<String>)>,
    /// Whether whoever is measured now steps aside with the next act.
    pub steps_aside: bool,
    /// Whether the last act was a code that begins nothing in its lane.
    pub not_taken: bool,
    /// Holders of a pass or a seal as the file names them, that were no visit of it.
    pub before: BTreeMap<VisitId, String>,
    /// The verdicts so far, for whoever asks at the console.
    pub verdicts: Vec<Verdict>,
    /// What it has shown.
    pub shown: Vec<Shown>,
    /// The rows of the latest answer of the console.
    pub rows: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
    /// The lane of acts that name none.
    main: LaneId,
    places: BTreeMap<LaneId, PlayLane>,
    region: String,
    trust: Arc<TrustList>,
    key: Arc<GatewayKey>,
}

impl<'a> World<'a> {
    /// Sets everything up as the file says.
    pub fn new(
        scenario: &Scenario,
        profiles: Profiles<'_>,
        store: &'a mut dyn Store,
        trace: &'a mut dyn FnMut(&str),
    ) -> Result<Self, Mistake> {
        let mistake = |line, what: String| Mistake { file: scenario.file.clone(), line, what };
        let passes = passes::sign(&scenario.passes).map_err(|(line, what)| mistake(line, what))?;
        let (mut places, mut devices) = (BTreeMap::new(), BTreeMap::new());
        for (number, lane) in scenario.lanes.iter().enumerate() {
            let (name, text) = profiles(&lane.profile).map_err(|e| mistake(lane.line, e))?;
            let profile =
                crate::profile::read(&name, &text).map_err(|e| mistake(lane.line, e.to_string()))?;
            let mut members = BTreeMap::new();
            let mut roles: BTreeMap<String, DeviceKind> =
                profile.devices().map(|(role, kind, _)| (role.to_owned(), kind)).collect();
            for member in profile.members() {
                let (name, text) = profiles(member).map_err(|e| mistake(lane.line, e))?;
                let read =
                    crate::profile::read(&name, &text).map_err(|e| mistake(lane.line, e.to_string()))?;
                roles.extend(read.devices().map(|(role, kind, _)| (role.to_owned(), kind)));
                members.insert(member.to_owned(), (name, text));
            }
            if profile.start.takes(Origin::Plate) && !roles.values().any(|kind| *kind == DeviceKind::Camera) {
                roles.insert(PLATE_CAMERA.to_owned(), DeviceKind::Camera);
            }
            for input in profile.contacts() {
                // A contact beside a lock of that name has another one.
                let role = if roles.get(input).is_some_and(|kind| *kind != DeviceKind::Input) {
                    format!("{input}-contact")
                } else {
                    input.to_owned()
                };
                roles.insert(role, DeviceKind::Input);
            }
            for (role, kind) in &roles {
                let (role, kind) = (role.as_str(), *kind);
                let id = DeviceId::new(if number == 0 {
                    role.to_owned()
                } else {
                    format!("{role}-{}", number + 1)
                });
                let id = id.map_err(|e| mistake(lane.line, e.to_string()))?;
                let (lane, role) = (lane.id.clone(), role.to_owned());
                devices.insert(id, Device { lane, role, kind, lost: false, prints: true });
            }
            places.insert(
                lane.id.clone(),
                PlayLane { name, text, members, place: lane.place.clone(), came: Came::default() },
            );
        }
        let quality = if scenario.synced { Quality::Synced } else { Quality::Unsynced };
        let mut world = Self {
            store,
            core: Core::new(Vec::new(), BTreeMap::new()),
            now: Now { mono_ms: BOOTED_MS, wall_ms: Some(scenario.clock_ms), quality },
            utc_offset_ms: scenario.utc_offset_ms,
            passes,
            devices,
            visits: Vec::new(),
            subjects: Arc::new(SubjectKeys::new(1, b"scenario")),
            lists: BTreeMap::new(),
            texts: scenario.texts.clone(),
            not_taken: false,
            before: BTreeMap::new(),
            trace,
            decided: Vec::new(),
            steps_aside: false,
            verdicts: Vec::new(),
            shown: Vec::new(),
            rows: None,
            main: scenario.lanes[0].id.clone(),
            places,
            region: scenario.region.clone(),
            trust: Arc::new(passes::trust(scenario.clock_ms, &scenario.region)),
            key: Arc::new(passes::gateway_key()),
        };
        world.core = Core::new(world.setups(), BTreeMap::new());
        Ok(world)
    }

    fn setups(&self) -> Vec<Setup> {
        let devices = |lane: &LaneId| {
            let of_lane = self.devices.iter().filter(|(_, device)| device.lane == *lane);
            of_lane.map(|(id, device)| (device.role.clone(), id.clone())).collect()
        };
        let setup = |(id, place): (&LaneId, &PlayLane)| Setup {
            lane: id.clone(),
            profile: crate::profile::read(&place.name, &place.text).expect("it was read before").into(),
            devices: devices(id),
            region: self.region.clone(),
            place: place.place.clone(),
            gateway: GATEWAY.into(),
            members: place
                .members
                .iter()
                .map(|(named, (name, text))| {
                    let profile = crate::profile::read(name, text).expect("it was read before");
                    (named.clone(), Arc::new(profile))
                })
                .collect(),
            profile_hash: Hash::of(place.text.as_bytes()).hex(),
            utc_offset_ms: self.utc_offset_ms,
            trust: self.trust.clone(),
            subjects: self.subjects.clone(),
            key: self.key.clone(),
            training: false,
            badges: std::sync::Arc::default(),
            private: None,
        };
        self.places.iter().map(setup).collect()
    }

    /// The moment in UTC milliseconds.
    pub fn wall_ms(&self) -> WallMs {
        self.now.wall_ms.unwrap_or(0)
    }

    /// The lane of an act.
    pub fn lane_of(&self, act: &Act) -> LaneId {
        act.lane.clone().unwrap_or_else(|| self.main.clone())
    }

    pub fn lane(&self, id: &LaneId) -> &Lane {
        self.core.lane(id).expect("the lanes of the acts are those of the file")
    }

    /// The profile of a lane.
    pub fn profile(&self, id: &LaneId) -> &Profile {
        &self.lane(id).setup.profile
    }

    /// The visit under way in a lane and the step at which it waits.
    pub fn waiting(&self, id: &LaneId) -> Option<(&Visit, &ProfileStep)> {
        let lane = self.lane(id);
        let visit = lane.state.visit.as_ref().filter(|v| v.stage == Stage::Running)?;
        Some((visit, lane.profile_of(visit).steps.get(visit.step)?))
    }

    /// The visits under way in a lane, each with its step: the one in front first, then the newest.
    pub fn under_way(&self, id: &LaneId) -> impl Iterator<Item = (&Visit, &ProfileStep)> {
        let lane = self.lane(id);
        let running = lane.state.visits().filter(|v| v.stage == Stage::Running);
        running.filter_map(|visit| Some((visit, lane.profile_of(visit).steps.get(visit.step)?)))
    }

    /// The visit whose question or form the desk shows: that of the record which was taken there, else the one in front,
    /// else the newest.
    pub fn questioned(&self, id: &LaneId) -> Option<(&Visit, &ProfileStep)> {
        let desk = self.lane(id).state.desk;
        let asks = |step: &ProfileStep| matches!(step.kind, StepKind::Question(_) | StepKind::Form(_));
        let mut all: Vec<_> = self.under_way(id).filter(|(_, step)| asks(step)).collect();
        all.sort_by_key(|(visit, _)| Some(visit.id) != desk);
        all.into_iter().next()
    }

    /// The visit of a lane that is meant where none is named: the one in front, else the latest.
    pub fn meant(&self, id: &LaneId) -> Option<&Visit> {
        let state = &self.lane(id).state;
        state.visit.as_ref().or_else(|| state.visits().max_by_key(|v| v.id))
    }

    /// The contact of a lane in a role.
    pub fn contact(&self, lane: &LaneId, role: &str) -> Result<DeviceId, Stopped> {
        let of_lane = || self.devices.iter().filter(|(_, d)| d.lane == *lane && d.kind == DeviceKind::Input);
        let named = |d: &Device| d.role == role || d.role.strip_suffix("-contact") == Some(role);
        let found = of_lane().find(|(_, d)| named(d)).map(|(id, _)| id.clone());
        let roles = || of_lane().map(|(_, d)| d.role.as_str()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| Stopped::Failed(format!("this lane has no input `{role}`; it has: {}", roles())))
    }

    /// The camera of a lane that reads plates.
    pub fn plate_camera(&self, lane: &LaneId) -> Result<DeviceId, Stopped> {
        let camera = |d: &Device| d.lane == *lane && d.kind == DeviceKind::Camera;
        let found = self.devices.iter().find(|(_, d)| camera(d)).map(|(id, _)| id.clone());
        found.ok_or_else(|| Stopped::Failed("this lane has no camera that reads plates".into()))
    }

    /// The device of a lane in a role.
    pub fn device(&self, lane: &LaneId, role: &str) -> Result<DeviceId, Stopped> {
        let of_lane = || self.devices.iter().filter(|(_, d)| d.lane == *lane);
        let found = of_lane().find(|(_, d)| d.role == role).map(|(id, _)| id.clone());
        let roles = || of_lane().map(|(_, d)| d.role.as_str()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| Stopped::Failed(format!("this lane has no device `{role}`; it has: {}", roles())))
    }

    /// What came at a lane since this was asked last.
    pub fn came(&mut self, lane: &LaneId) -> Came {
        self.places.get_mut(lane).map(|place| std::mem::take(&mut place.came)).unwrap_or_default()
    }

    /// An input, what must be kept of it, and what the devices answer. Says whether an act was rejected, and which
    /// counters were raised.
    pub fn input(&mut self, input: Input) -> Result<Vec<&'static str>, Stopped> {
        let answered = input.is_answered();
        let mut given = self.given(&input);
        let step = self.core.handle(&self.now, input, &*self.store)?;
        if let (Shown::Act { rejected, .. }, Some(Err(why))) = (&mut given, &step.reply) {
            *rejected = Some(why.code);
        }
        self.shown.push(given);
        self.settled(&step, answered)?;
        match step.reply {
            Some(Err(why)) => Err(Stopped::Rejected(why.code, why.text.en)),
            Some(Ok(())) | None => Ok(step.counters),
        }
    }

    /// Follows a step, and what the devices answer to it, until none has anything more to say.
    fn settled(&mut self, step: &Step, answered: bool) -> Result<(), Stopped> {
        let mut waiting = VecDeque::new();
        self.follow(step, answered, &mut waiting)?;
        while let Some(input) = waiting.pop_front() {
            let answered = input.is_answered();
            let step = self.core.handle(&self.now, input, &*self.store)?;
            self.follow(&step, answered, &mut waiting)?;
        }
        Ok(())
    }

    /// Keeps a step, then does what it asks for.
    fn follow(&mut self, step: &Step, answered: bool, waiting: &mut VecDeque<Input>) -> Result<(), Stopped> {
        if step.must_be_kept(answered) {
            self.store.keep(step, &self.core, &self.now)?;
        }
        self.note(&step.events);
        for id in &step.lanes {
            let Some(lane) = self.core.lane(id) else { continue };
            for visit in lane.state.visits() {
                if !self.visits.iter().any(|(_, known)| *known == visit.id) {
                    self.visits.push((id.clone(), visit.id));
                }
            }
        }
        self.visits.sort_by_key(|(_, id)| *id);
        for request in &step.requests {
            if let Some(report) = self.asked(request) {
                waiting.push_back(Input::Device { device: request.device.clone(), report });
            }
        }
        Ok(())
    }

    /// Notes events where they count: at their lane, or everywhere.
    pub fn note(&mut self, events: &[NewEvent]) {
        let at_ms = self.wall_ms();
        for event in events {
            self.verdicts.extend(Verdict::of(event, at_ms));
            self.show(event);
            let codes = event.data.get("codes").filter(|codes| codes.is_array());
            let outcome = event.data.get("outcome").and_then(serde_json::Value::as_str).unwrap_or_default();
            let codes = codes.map(ToString::to_string).unwrap_or_default();
            let lane = event.lane.as_ref().map(ToString::to_string).unwrap_or_default();
            if !outcome.is_empty() {
                let listed = event.data.get("codes").and_then(serde_json::Value::as_array);
                let listed = listed.into_iter().flatten().filter_map(serde_json::Value::as_str);
                self.decided.push((event.visit, outcome.to_owned(), listed.map(str::to_owned).collect()));
            }
            (self.trace)(format!("    event {} {lane} {outcome} {codes}", event.kind).trim_end());
            for (id, place) in &mut self.places {
                if event.lane.as_ref().is_none_or(|lane| lane == id) {
                    place.came.events.push(event.kind.clone());
                }
            }
        }
    }

    /// What a device answers at once. A thermometer and a camera wait for the file to say what they see.
    fn asked(&mut self, request: &Request) -> Option<Report> {
        let device = self.devices.get(&request.device)?;
        let ticket = request.ticket;
        let lost = Some(Report::NoData { ticket, why: NoData::NotPresent });
        match &request.command {
            Command::Pulse { .. } => {
                (self.trace)(&format!("    {} is asked to open", request.device));
                if device.lost {
                    return lost;
                }
                if let Some(place) = self.places.get_mut(&device.lane) {
                    place.came.opened = true;
                }
                Some(Report::Done { ticket })
            }
            Command::Print { lines } => {
                (self.trace)(&format!("    {} prints {lines:?}", request.device));
                if device.lost || !device.prints {
                    return lost;
                }
                if let Some(place) = self.places.get_mut(&device.lane) {
                    place.came.slips.push(lines.join("\n"));
                }
                Some(Report::Done { ticket })
            }
            Command::Measure | Command::Capture { .. } if device.lost => lost,
            Command::Measure | Command::Capture { .. } => None,
            Command::Stop | Command::Read { .. } | Command::Signal { .. } => None,
        }
    }

    /// A report of the device in a role.
    pub fn report(
        &mut self,
        lane: &LaneId,
        role: &str,
        report: Report,
    ) -> Result<Vec<&'static str>, Stopped> {
        let device = self.device(lane, role)?;
        self.input(Input::Device { device, report })
    }

    /// Time goes on; what is due on the way is done.
    pub fn wait(&mut self, ms: i64) -> Result<(), Stopped> {
        let Ok(ms) = u64::try_from(ms) else {
            return Err(Stopped::Failed("the clock of a play goes forward only".into()));
        };
        self.shown.push(Shown::Waited(ms.cast_signed()));
        let until = self.now.mono_ms + ms;
        let mut woken = 0;
        while let Some((at, _)) = self.core.next_deadline().filter(|(at, _)| *at <= until) {
            woken = if at > self.now.mono_ms { 0 } else { woken + 1 };
            if woken > WOKEN_MOST {
                return Err(Stopped::Failed("a lane is woken again and again within one moment".into()));
            }
            self.move_to(at);
            self.input(Input::Tick)?;
        }
        self.move_to(until);
        Ok(())
    }

    fn move_to(&mut self, mono_ms: u64) {
        let ms = mono_ms.saturating_sub(self.now.mono_ms);
        self.now.mono_ms += ms;
        self.now.wall_ms = self.now.wall_ms.map(|at| at.saturating_add_unsigned(ms));
    }

    /// The box is off for so long; then it takes up what its store says. It goes off when what is kept soon has been.
    pub fn restart(&mut self, ms: i64) -> Result<(), Stopped> {
        self.shown.push(Shown::Beyond("restart"));
        self.core.close(self.now.mono_ms);
        let unkept = self.core.unkept();
        self.store.keep(&unkept, &self.core, &self.now)?;
        let off = u64::try_from(ms).unwrap_or(0);
        self.now.wall_ms = self.now.wall_ms.map(|at| at.saturating_add_unsigned(off));
        self.now.mono_ms = BOOTED_MS;
        let (states, forgotten) = self.store.restart()?;
        self.core = Core::new(self.setups(), states);
        self.core.given(forgotten);
        let step = self.core.resume(&self.now, &*self.store)?;
        self.settled(&step, true)?;
        // What was due meanwhile is done now.
        self.wait(0)
    }

    /// Devices that a lane has asked and that have not answered.
    pub fn open_tickets(&self, lane: &LaneId) -> BTreeSet<Ticket> {
        let Some((visit, _)) = self.waiting(lane) else { return BTreeSet::new() };
        let photos = visit.photos.values().filter_map(|slot| slot.ticket);
        let waits = &visit.waits;
        let measured = waits.temperature.as_ref().and_then(|m| m.ticket);
        let weighed = waits.weigh.as_ref().and_then(|w| w.ticket);
        let slips = visit.prints.iter().flat_map(|slip| slip.tickets.iter().copied());
        [measured, weighed, waits.actuate].into_iter().flatten().chain(photos).chain(slips).collect()
    }

    /// Puts an edition of a list in place.
    pub fn edition(&mut self, list: &str, issued_ms: WallMs, entries: Entries) -> Result<(), Stopped> {
        self.store.edition(list, issued_ms, &entries)?;
        let of = entries.clone();
        self.shown.push(Shown::Edition { list: list.to_owned(), issued_ms, entries: of });
        self.lists.insert(list.to_owned(), (issued_ms, entries));
        Ok(())
    }

    /// When an edition of a list was issued that is fresh, or too old for every lane.
    pub fn issued(&self, list: &str, stale: bool) -> WallMs {
        let hours = self.core.lanes().map(|l| l.setup.profile.stale_after(list)).max().unwrap_or(0);
        if stale { self.wall_ms() - (hours + 1) * 3_600_000 } else { self.wall_ms() }
    }

    /// The key of an entry; `@NAME` in `revocation` is a pass of the file.
    pub fn entry_key(&self, list: &str, id: &str) -> String {
        let named = id.strip_prefix('@').filter(|_| list == "revocation");
        match named.and_then(|name| self.passes.get(name)) {
            Some(made) => format!("{}:{}", made.kid, made.id),
            None => key(list, id).into_owned(),
        }
    }

    /// The pass that a file names as `@NAME`, or an opaque code.
    pub fn checked(&self, pass: &str) -> Result<Pass, Stopped> {
        let text = match pass.strip_prefix('@').and_then(|name| self.passes.get(name)) {
            Some(made) => made.text.clone(),
            None => pass.to_owned(),
        };
        let with = crate::pass::Check { trust: &self.trust, now_s: self.now.wall_s(), region: &self.region };
        let checked = crate::pass::check(text.as_bytes(), with);
        let checked = checked.or_else(|refused| refused.pass.map(|pass| *pass).ok_or(refused.why));
        checked.map_err(|why| Stopped::Failed(format!("`{pass}` is no pass that can be used: {why}")))
    }

    /// What the use of a pass goes by here, and at the other gateways of the site where that is something else.
    pub fn use_of(&self, pass: &str) -> Result<(String, Option<String>), Stopped> {
        let pass = self.checked(pass)?;
        let entry = self.store.entry("pass", &pass.subject)?.unwrap_or_default();
        let window = ["nbf_ms", "exp_ms"].map(|name| entry.get(name).and_then(crate::entry::whole));
        let name = pass.used_as(window);
        let shared = pass.kid.is_empty().then(|| decide::shared(&self.subjects.of(&decide::of_site(&name))));
        Ok((name, shared))
    }
}
