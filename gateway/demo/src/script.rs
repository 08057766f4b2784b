//! Plays visits through the lanes of the school, the trucks and the triage: cards to the scanners, acts of officers to the desks.

use crate::world::World;
use kakou_core::codes::Outcome;
use kakou_core::core::Input;
use kakou_core::ids::{LaneId, OfficerId, VisitId};
use kakou_core::lane::action::{Action, Officer, Role};
use kakou_gateway::daemon::Running;
use kakou_gateway::engine::Work;
use kakou_gateway::store::journal;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often a desk is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What the journal says about a demo.
#[derive(Debug, Default)]
pub struct Figures {
    /// Visits with a verdict.
    pub visits: u64,
    /// ADMIT, REFER, HOLD, DENY.
    pub outcomes: [u64; 4],
    /// Overrides.
    pub overrides: u64,
    /// Seals applied.
    pub seals: u64,
    /// Photographs in evidence.
    pub photos: u64,
}

/// Counts from the journal itself.
pub fn figures(data: &Path) -> Figures {
    let mut out = Figures::default();
    let Ok(reader) = journal::reader(data) else { return out };
    let Ok(mut select) = reader.prepare("SELECT body FROM event WHERE class = 0 AND shed = 0") else {
        return out;
    };
    let Ok(bodies) = select.query_map([], |r| r.get::<_, Vec<u8>>(0)) else { return out };
    let mut visits = std::collections::BTreeSet::new();
    for event in bodies.flatten().filter_map(|b| serde_json::from_slice::<Value>(&b).ok()) {
        let data = &event["data"];
        match event["type"].as_str() {
            Some("kakou.transaction.v1") => {
                visits.insert(event["subject"].to_string());
                let word = data["outcome"].as_str().unwrap_or_default();
                if let Some(i) = Outcome::ALL.iter().position(|o| o.as_str() == word) {
                    out.outcomes[i] += 1;
                }
            }
            Some("kakou.override.v1") => out.overrides += 1,
            Some("kakou.seal_applied.v1") => {
                out.seals += data["seals"].as_array().map_or(0, |s| s.len() as u64);
                out.photos += data["photos"].as_array().map_or(0, |p| p.len() as u64);
            }
            Some(_) | None => {}
        }
    }
    out.visits = visits.len() as u64;
    out
}

/// Plays until the time is over; each lane by itself, as in life.
pub async fn play(world: &World, running: &Running, time: Duration) {
    let until = Instant::now() + time;
    let school = async {
        let cards = [
            "pupil-green",
            "pupil-late",
            "pupil-green-2",
            "pupil-yellow",
            "pupil-stranger",
            "pupil-red",
            "pupil-expired",
        ];
        let desk = DemoDesk { running, lane: "school-1", officer: ("li", Role::Guard) };
        for card in cards.iter().cycle() {
            if Instant::now() >= until {
                return;
            }
            let before = desk.view()["visit"]["id"].as_u64();
            drop(world.present("school-1", card));
            if desk.verdict(before).await == Some("HOLD".into()) && *card == "pupil-late" {
                desk.admit_anyway().await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let truck = async {
        let desk = DemoDesk { running, lane: "truck-1", officer: ("zhao", Role::Transport) };
        for (n, card) in ["truck-ok", "truck-new", "truck-route", "truck-ok"].iter().enumerate() {
            if Instant::now() >= until {
                return;
            }
            desk.truck(world, card, n, until).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let triage = async {
        let desk = DemoDesk { running, lane: "triage-1", officer: ("chen", Role::Nurse) };
        for card in ["patient-green", "patient-away", "patient-no-phone"].iter().cycle() {
            if Instant::now() >= until {
                return;
            }
            drop(world.present("triage-1", card));
            desk.work(until, |ask| match ask["id"].as_str()? {
                "mask" => Some(answer("mask", "yes")),
                "travel" => Some(answer("travel", "no")),
                "symptoms" => Some(answer("symptoms", "no")),
                _ => None,
            })
            .await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let all = async { tokio::join!(school, truck, triage) };
    drop(tokio::time::timeout(time + Duration::from_secs(1), all).await);
}

fn answer(question: &str, value: &str) -> Action {
    Action::Answer { question: question.into(), value: value.into() }
}

struct DemoDesk<'a> {
    running: &'a Running,
    lane: &'static str,
    officer: (&'static str, Role),
}

impl DemoDesk<'_> {
    fn view(&self) -> Value {
        let id = LaneId::new(self.lane).ok();
        let text = id.and_then(|id| self.running.views.lanes.get(&id)).map(|l| l.borrow().clone().desk());
        text.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default()
    }

    async fn act(&self, action: Action) {
        let (Ok(lane), Ok(id)) = (LaneId::new(self.lane), OfficerId::new(self.officer.0)) else { return };
        let (tx, rx) = oneshot::channel();
        let input = Input::Desk { lane, officer: Officer { id, role: self.officer.1 }, visit: None, action };
        if self.running.engine.try_send(Work::Input(input, Some(tx))).is_ok() {
            drop(rx.await);
        }
    }

    /// Waits for the verdict of the visit that has just begun.
    async fn verdict(&self, before: Option<u64>) -> Option<String> {
        for _ in 0..100 {
            tokio::time::sleep(LOOK).await;
            let view = self.view();
            // A card shown again brings no new verdict.
            if view["mode"] == "repeat" {
                return None;
            }
            if view["mode"] == "verdict" && view["visit"]["id"].as_u64() != before {
                return view["visit"]["verdict"]["outcome"].as_str().map(str::to_owned);
            }
        }
        None
    }

    async fn admit_anyway(&self) {
        if let Some(visit) = self.view()["visit"]["id"].as_u64() {
            let (reason, note) = ("paper_seen".into(), String::new());
            self.act(Action::Override {
                visit: VisitId(visit),
                outcome: Outcome::Admit,
                reason,
                note,
                second: None,
            })
            .await;
        }
    }

    /// Does what the desk asks until there is a verdict or nothing more to do.
    async fn work(&self, until: Instant, reply: impl Fn(&Value) -> Option<Action>) {
        let mut idle = 0;
        while Instant::now() < until && idle < 25 {
            tokio::time::sleep(LOOK).await;
            let view = self.view();
            if view["mode"] == "verdict" || view["mode"] == "repeat" {
                return;
            }
            idle = if view["mode"] == "idle" { idle + 1 } else { 0 };
            if let Some(action) = reply(&view["ask"]) {
                self.act(action).await;
            }
        }
    }

    async fn truck(&self, world: &World, card: &str, n: usize, until: Instant) {
        let plate = match card {
            "truck-new" => "辽P67890",
            "truck-route" => "辽P24680",
            _ => "辽P12345",
        };
        // The first look of the first truck's seal is dark: it is taken again.
        drop(world.camera("truck-1", "good"));
        drop(world.present("truck-1", card));
        let darkened = std::cell::Cell::new(n > 0);
        self.work(until, |ask| {
            let kind = ask["kind"].as_str()?;
            match kind {
                "question" if ask["id"] == "plate" => Some(answer("plate", plate)),
                "question" => Some(answer("crew", "2")),
                "approve" => Some(Action::Approve { approve: true, note: String::new(), desk: None }),
                "seal" => {
                    if !darkened.replace(true) {
                        drop(world.camera("truck-1", "dark"));
                    }
                    let number = format!("LN{:07}", 45_678 + n);
                    Some(Action::Seal {
                        first: number.clone(),
                        second: number,
                        kind: "bolt".into(),
                        door: "rear".into(),
                    })
                }
                "photo" => {
                    let view = self.view();
                    let role = ask["role"].as_str()?.to_owned();
                    let slot = view["visit"]["photos"]
                        .as_array()?
                        .iter()
                        .find(|p| p["role"] == role.as_str())?
                        .clone();
                    match slot["state"].as_str()? {
                        "retake" => {
                            drop(world.camera("truck-1", "good"));
                            Some(Action::Retake(role))
                        }
                        "review" => Some(Action::Accept(role)),
                        "missing" => Some(Action::Capture(role)),
                        _ => None,
                    }
                }
                "confirm" => {
                    Some(Action::Confirm(["view", "verify", "tug", "twist"].map(str::to_owned).to_vec()))
                }
                _ => None,
            }
        })
        .await;
    }
}
