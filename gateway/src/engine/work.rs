//! What the engine is asked, and what the rest of the gateway can watch of it.

use super::openings::Moved;
use super::{LaneView, Onward};
use crate::store::catch_up::Respondent;
use kakou_core::codes::Code;
use kakou_core::core::Input;
use kakou_core::delivery::Positions;
use kakou_core::event::{Class, NewEvent};
use kakou_core::ids::{DeviceId, GatewayId, LaneId};
use kakou_core::lane::action::Rejection;
use kakou_core::reading::Report;
use kakou_core::register::Slot;
use kakou_wire::peers::{Page, Used};
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// Inputs that may wait; beyond it a scanner's report is dropped and counted.
pub const QUEUE: usize = 4_096;

/// What the engine is asked, by whoever waits for the answer.
pub enum Work {
    /// An input of the core; the answer to an act comes when it is durable.
    Input(Input, Option<Reply>),
    /// A command of central ops: the first answer comes when it is on record, the second one when its barrier has
    /// moved, or has not.
    Remote(Input, Reply, Moved),
    /// A device's report, and when its last byte arrived.
    Report(DeviceId, Report, Instant),
    /// Events of others in the gateway, stored as they are; the answer is the last sequence.
    Append(Vec<NewEvent>, Option<oneshot::Sender<u64>>),
    /// The broker has acknowledged a stream up to here.
    Acked(Class, u64),
    /// The central side has receipted a stream of an epoch up to here.
    Receipted(Class, u64, u64),
    /// The central side has a stream of an epoch up to here alone, though it has receipted more: its store is another.
    WentBack(Class, u64, u64),
    /// The central side has this photograph.
    PhotoReceipted(String),
    /// Another gateway tells of the use of a pass; the answer comes when it is durable.
    Peer(GatewayId, Used, oneshot::Sender<u64>),
    /// The other gateways know of the use of a pass.
    PeerTold(String),
    /// Another gateway tells of a slot of a register; the answer comes when it is durable.
    PeerSlot(GatewayId, Box<Slot>, oneshot::Sender<u64>),
    /// The other gateways know of a slot as it was then.
    SlotTold(Box<Slot>),
    /// Somebody tells what this gateway has asked for; the answer says where it goes on, if the page was the next one.
    PeerPage(Respondent, Page, oneshot::Sender<Option<Onward>>),
    /// A supervisor takes the risk that single-use passes were used: the lanes wait for no other gateway. The event
    /// says who and why; the answer comes when it is durable.
    ReleaseUses(NewEvent, oneshot::Sender<u64>),
    /// Another gateway must be told everything again.
    PeerHello(oneshot::Sender<u64>),
    /// Store, answer, end.
    Stop,
}

/// The way in.
pub type WorkSender = mpsc::Sender<Work>;

/// What the rest of the gateway can watch.
#[derive(Clone)]
pub struct EngineViews {
    /// Each lane's screens.
    pub lanes: BTreeMap<LaneId, watch::Receiver<LaneView>>,
    /// How far each stream is: the engine says what is stored, the link what was sent, acknowledged and receipted.
    pub positions: watch::Sender<Positions>,
    /// Changes whenever the use of a pass is durable.
    pub uses: watch::Receiver<u64>,
    /// Why lanes are closed.
    pub closed: watch::Receiver<Option<Code>>,
    /// The journal's epoch.
    pub epoch: u64,
}

/// The answer to an act.
pub type Reply = oneshot::Sender<Result<(), Rejection>>;
