//! What the central side asks of this gateway: commands, configuration, questions.
//!
//! Each is signed by a key on this gateway's list of fleet keys, and the key says what it may ask
//! for. Each is on record before anything happens. A command is carried out once: it is kept by its
//! id for as long as it counts, its state is told after each connection, and the broker keeps it until it is
//! finished. While the time of this gateway is not confirmed, commands wait: one of yesterday must not open a barrier
//! today.

pub mod commands;
pub mod configuration;
pub mod course;
pub mod jobs;
pub mod questions;
pub mod usb_drive;

use crate::config::anchors::Anchors;
use crate::config::remote;
use crate::engine::{Work, WorkSender};
use crate::metrics::Metrics;
use crate::overview::Overview;
use crate::store::photos::Photos;
use crate::store::seen::Seen;
use course::{Course, Input, OrderCheck, Output, ReceivedOrder};
use jobs::{Job, Jobs};
use kakou_core::event::{Class, NewEvent};
use kakou_core::evidence::SubjectKeys;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::pass::trust::{TrustList, Usage};
use kakou_core::signed;
use kakou_core::time::rfc3339;
use kakou_link::clock::{Clock, boot_id};
use kakou_link::minutely::Throttle;
use kakou_wire::order::{self, Command, State};
use kakou_wire::topic::topic;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Orders that may wait; beyond it one is dropped and comes again with the next connection.
pub const WAITING: usize = 64;

/// Between two looks at the report of the configuration.
const LOOK: Duration = Duration::from_secs(1);

/// Between two looks at keys whose time is over.
const FORGET: Duration = Duration::from_secs(3600);

/// What comes from the central side.
pub enum Order {
    /// A signed command, with the id of its topic.
    Command(String, Vec<u8>),
    /// A signed configuration.
    Desired(Vec<u8>),
    /// A signed question.
    Question(Vec<u8>),
    /// The connection is up: what was done meanwhile is told.
    Connected,
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where.
    pub topic: String,
    /// What.
    pub body: Vec<u8>,
    /// Kept by the broker.
    pub retain: bool,
}

/// What the desk of orders works with.
pub struct OrderSettings {
    /// The site.
    pub site: SiteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// The data folder.
    pub data: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
    /// Where a USB drive appears.
    pub usb_drive: PathBuf,
    /// What no configuration from afar changes.
    pub anchors: Anchors,
    /// Who may sign.
    pub keys: Arc<TrustList>,
    /// The clock.
    pub clock: Clock,
    /// The broker's settings: the roots of the fleet. None in a box without a link, which hears of its USB drive alone.
    pub upstream: Option<kakou_link::broker::Upstream>,
    /// Records and lanes.
    pub engine: WorkSender,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// For diagnostics.
    pub overview: Arc<Overview>,
    /// For snapshots.
    pub photos: Photos,
    /// The gateway's own certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Raised when connections must begin anew.
    pub renewed: watch::Sender<u64>,
    /// Starts the daemon anew inside its process.
    pub restart: Option<mpsc::Sender<()>>,
    /// What makes subject keys, for the lanes.
    pub subjects: watch::Sender<Arc<SubjectKeys>>,
    /// Days that delivered events are kept, and with them the keys that they were made with.
    pub keep_days: i64,
    /// Where answers go.
    pub answers: mpsc::Sender<Answer>,
    /// Words that were refused: who sends them need not have signed anything.
    pub refused: Mutex<Throttle>,
}

/// What has become of a command that an earlier run of the daemon has begun, in this boot of the box or another.
fn cut_off(what: &str, another_boot: bool) -> (State, String) {
    match what {
        "reload" => (State::Succeeded, "started anew".into()),
        "reboot" if another_boot => (State::Succeeded, "started anew".into()),
        _ => (State::Failed, commands::unknown(what, "the daemon ended before it was done")),
    }
}

/// The longest foreign text in a record, in bytes: what nobody has signed must not make an event that no broker
/// takes.
const LONGEST_TEXT: usize = 1_000;

fn truncate(text: &mut String) {
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

/// Cuts every text in it.
fn shorten(data: &mut Value) {
    match data {
        Value::String(text) => truncate(text),
        Value::Array(all) => all.iter_mut().for_each(shorten),
        Value::Object(all) => all.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl OrderSettings {
    /// Takes orders until cancelled.
    pub async fn run(self, mut orders: mpsc::Receiver<Order>, cancel: CancellationToken) {
        // Without the book nothing is commanded; feeds and configurations come all the same.
        let jobs =
            Jobs::open(&self.data).inspect_err(|e| log::error!("orders.db: {e}; nothing is commanded"));
        if let Ok(jobs) = &jobs {
            self.finish_begun(jobs);
        }
        let (mut told, mut on_usb_drive, mut forgot) = (None, Seen::default(), None::<Instant>);
        let mut course = Course::new(boot_id());
        let mut look = tokio::time::interval(LOOK);
        loop {
            let order = tokio::select! {
                () = cancel.cancelled() => return,
                // A configuration on trial becomes the one in use without anybody asking.
                _ = look.tick() => {
                    let report = remote::report(&self.data);
                    if told.as_ref().is_some_and(|t| *t != report) {
                        self.tell_configuration().await;
                        told = Some(report);
                    }
                    self.look_at_usb_drive(&mut on_usb_drive).await;
                    self.tell_refused().await;
                    if self.now_s().is_some() && forgot.is_none_or(|at| at.elapsed() > FORGET) {
                        forgot = Some(Instant::now());
                        self.forget_subjects().await;
                    }
                    self.go_on(Input::Tick, &mut course, &jobs).await;
                    continue;
                }
                // Without a link nobody gives orders, and the USB drive is looked at all the same.
                Some(order) = orders.recv() => order,
            };
            match order {
                Order::Connected => {
                    told = Some(remote::report(&self.data));
                    self.tell_configuration().await;
                }
                Order::Command(id, envelope) => {
                    self.go_on(Input::Came(id, envelope), &mut course, &jobs).await
                }
                Order::Desired(envelope) => self.configure(&envelope, true).await,
                Order::Question(envelope) => self.question(&envelope).await,
            }
        }
    }

    /// Tells the course what happened, and does what it says.
    async fn go_on(&self, input: Input, course: &mut Course, jobs: &rusqlite::Result<Jobs>) {
        let (mut todo, mut next) = (VecDeque::new(), Some(input));
        loop {
            if let Some(input) = next.take() {
                if input == Input::NoBook {
                    todo.retain(|output| matches!(output, Output::Look(..)));
                }
                let mut outputs = Vec::new();
                course.handle(&self.clock.now(), input, &mut outputs);
                outputs.into_iter().rev().for_each(|output| todo.push_front(output));
            }
            let Some(output) = todo.pop_front() else { return };
            next = self.carry_out(output, jobs).await;
        }
    }

    async fn carry_out(&self, output: Output, jobs: &rusqlite::Result<Jobs>) -> Option<Input> {
        let booked = |id: &str, done: Result<Option<Input>, String>| {
            done.unwrap_or_else(|e| {
                log::error!("command {id}: {e}");
                Some(Input::NoBook)
            })
        };
        let book = || jobs.as_ref().map_err(|e| format!("orders.db: {e}"));
        match output {
            Output::Look(id, bytes) => {
                if jobs.is_err() {
                    self.metrics.count("command_unbooked_total");
                }
                let known = book().and_then(|jobs| jobs.find(&id).map_err(|e| e.to_string()));
                let look = |known: Option<Job>| {
                    let found = known.map_or_else(|| self.open_command(&id, &bytes), OrderCheck::Known);
                    Some(Input::Word(Box::new(ReceivedOrder { id: id.clone(), bytes, found })))
                };
                return booked(&id, known.map(look));
            }
            Output::Room(id) => {
                let now_s = self.now_s().unwrap_or(i64::MIN);
                let room = book().and_then(|jobs| jobs.room(now_s).map_err(|e| e.to_string()));
                return booked(&id, room.map(|room| Some(Input::Room(room))));
            }
            Output::Keep(job) => {
                let kept = book().and_then(|jobs| jobs.keep(&job).map_err(|e| e.to_string()));
                return booked(&job.id, kept.map(|()| None));
            }
            Output::Tell(job) => self.tell(&job).await,
            Output::Begin(data) => return Some(Input::Recorded(self.record("command", data).await)),
            Output::CarryOut(command, issuer) => {
                return Some(Input::Done(commands::carry_out(self, &command, &issuer).await));
            }
            Output::End(data) => drop(self.record("command_done", data).await),
            Output::Refuse(what) => {
                self.refuse("command_rejected_total", what);
                self.tell_refused().await;
            }
            Output::Count(counter) => self.metrics.count(counter),
        }
        None
    }

    /// A message is refused: counted, and reported once a minute.
    fn refuse(&self, counter: &str, what: Value) {
        self.metrics.count(counter);
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).note(what, 1);
    }

    async fn tell_refused(&self) {
        let due = self.refused.lock().unwrap_or_else(PoisonError::into_inner).due(Instant::now());
        let Some(data) = due else { return };
        log::warn!("words of the central side are refused: {data}");
        self.record("command_rejected", data).await;
    }

    pub(crate) fn now_s(&self) -> Option<i64> {
        let now = self.clock.now();
        now.wall_s().filter(|_| now.synced())
    }

    /// Puts an event on record; false if the store takes none.
    pub(crate) async fn record(&self, kind: &str, mut data: Value) -> bool {
        shorten(&mut data);
        let event = NewEvent {
            kind: kind.into(),
            class: Class::Scan,
            lane: None,
            visit: None,
            audience: vec!["ops".into()],
            data,
        };
        let (tx, stored) = oneshot::channel();
        self.engine.send(Work::Append(vec![event], Some(tx))).await.is_ok() && stored.await.is_ok()
    }

    pub(crate) async fn answer(&self, rest: &str, body: Vec<u8>, retain: bool) {
        // Nobody hears it in a box without a link.
        if self.upstream.is_none() {
            return;
        }
        let topic = topic(&self.site, &self.gateway, rest);
        if self.answers.send(Answer { topic, body, retain }).await.is_err() {
            self.metrics.count("answer_dropped_total");
        }
    }

    /// What an earlier run has begun: a restart has happened, anything else was cut off.
    fn finish_begun(&self, jobs: &Jobs) {
        let boot = boot_id();
        for mut job in jobs.begun().unwrap_or_default() {
            let (state, detail) = cut_off(&job.what, job.boot != boot);
            (job.state, job.detail) = (state, json!(detail));
            job.at_ms = self.clock.now().wall_ms;
            if let Err(e) = jobs.keep(&job) {
                log::error!("orders.db: {e}");
            }
        }
    }

    async fn tell(&self, job: &Job) {
        let body = json!({ "id": job.id, "what": job.what, "state": job.state, "detail": job.detail,
            "at": job.at_ms.map(rfc3339) });
        self.answer(&format!("cmdres/{}", job.id), body.to_string().into_bytes(), false).await;
        if job.state.is_final() {
            // The broker need not keep it any longer.
            self.answer(&format!("cmd/{}", job.id), Vec::new(), true).await;
        }
    }

    /// What a word is that the book does not know.
    fn open_command(&self, id: &str, bytes: &[u8]) -> OrderCheck {
        match self.signed_command(id, bytes) {
            Ok((command, issuer)) => {
                self.clock.signed_at(command.issued.saturating_mul(1000));
                OrderCheck::New(command, issuer)
            }
            Err(why) => OrderCheck::Bad(why),
        }
    }

    fn signed_command(&self, id: &str, envelope: &[u8]) -> Result<(Command, String), String> {
        let open = |usage| signed::open(envelope, order::COMMAND, &self.keys, usage, self.now_s());
        // Which usage it needs, only the signed text tells.
        let opened = open(Usage::Operate).or_else(|_| open(Usage::Maintain)).map_err(|e| e.to_string())?;
        let command: Command = serde_json::from_slice(&opened.payload).map_err(|e| e.to_string())?;
        open(command.what.usage()).map_err(|e| e.to_string())?;
        if command.id != id {
            return Err("its id is not that of its topic".into());
        }
        if (&command.site, &command.gateway) != (&self.site, &self.gateway) {
            return Err(format!("it is for {}/{}", command.site, command.gateway));
        }
        Ok((command, opened.issuer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_never_grows_with_what_a_stranger_sent() {
        let mut data =
            json!({ "command": "x", "why": "因".repeat(100_000), "more": [{ "a": "b".repeat(5_000) }] });
        shorten(&mut data);
        assert_eq!(data["command"], "x");
        assert!(data.to_string().len() < 3 * LONGEST_TEXT);
    }
}
