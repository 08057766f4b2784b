//! The pure part of a serial driver (sans I/O): bytes, commands and time in; reports and bytes out.

use kakou_core::reading::{Command, Report, Ticket};

/// Milliseconds since the driver began.
pub type Ms = u64;

/// What a codec wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// Tell the lane.
    Report(Report),
    /// Write to the port.
    Write(Vec<u8>),
    /// Throw away what the port has received and not delivered.
    Flush,
    /// Raise an error counter; the text says which.
    Error(&'static str),
    /// A valid frame arrived: the device lives.
    Seen,
    /// What the device says of itself: model, firmware.
    Firmware(String),
}

/// A protocol. It keeps its own buffer, which outlives any cancelled read.
pub trait Codec: Send + Sync {
    /// The port was opened.
    fn opened(&mut self, now: Ms, out: &mut Vec<Out>);
    /// Bytes arrived.
    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>);
    /// The lane asks for something.
    fn command(&mut self, now: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>);
    /// When [`Codec::wake`] must be called.
    fn deadline(&self) -> Option<Ms>;
    /// The deadline has come.
    fn wake(&mut self, now: Ms, out: &mut Vec<Out>);
    /// Whether an answer is on its way: nobody else may use a shared line.
    fn awaits_answer(&self) -> bool {
        false
    }
    /// The request that the port's loss leaves without an answer.
    fn lost(&mut self) -> Option<Ticket>;
}
