//! Cameras: photographs as evidence, codes read from the stream, temperatures of thermal cameras, a preview for
//! the desk.
//!
//! Only the newest frame is kept, so that memory is bounded and no picture is older than the request for it. Frames
//! come from a [`FrameSource`]: files, or a V4L2 camera.

pub mod files;
pub mod frame;
pub mod still;
pub mod thermal;
pub mod v4l2;
pub mod watch;

use crate::blocking::{Blocking, DeviceError, DeviceLink};
use crate::gy_mcu90640::Place;
use crate::{DeviceCommand, SavePhoto};
use frame::Frame;
use kakou_core::reading::{Command, NoData, Photo, Report, Temperature, Ticket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use still::StillError;
use watch::{CodeWatch, FrameScan};

/// Pictures that may be asked for and not taken yet.
const MAX_WANTED: usize = 8;
/// So many frames may be torn before a photograph fails.
const MAX_TORN: u32 = 5;
/// Between two frames of a preview.
const PREVIEW: Duration = Duration::from_millis(200);

/// What a source gives when it is looked at.
pub enum FrameResult<'a> {
    /// The newest frame.
    Frame(Frame<'a>),
    /// There is nothing to see.
    Nothing,
    /// A frame that cannot be used, and why; the next may be good.
    Damaged(&'static str),
}

/// Where pictures come from.
pub trait FrameSource: Send {
    /// Opens it and says what it gives.
    fn open(&mut self) -> Result<String, DeviceError>;
    /// The pause before each frame, for a source that does not wait by itself.
    fn pace(&self) -> Duration;
    /// The newest frame, waited for.
    fn frame(&mut self) -> Result<FrameResult<'_>, DeviceError>;
    /// The stored picture for a role, where there are such; otherwise the next frame is it.
    fn picture(&mut self, role: &str) -> Option<Result<Vec<u8>, StillError>>;
    /// Lets go of it.
    fn close(&mut self);
}

/// The newest picture, for the desk. It is made only while somebody looks.
pub type Preview = Arc<tokio::sync::watch::Sender<Option<Arc<[u8]>>>>;

/// A preview that nobody looks at yet.
pub fn preview() -> Preview {
    Arc::new(tokio::sync::watch::channel(None).0)
}

/// A photograph that was asked for and is not taken yet.
struct Wanted {
    ticket: Ticket,
    /// Frames that were not whole since.
    torn: u32,
}

/// What a thermal camera's frame says.
pub type Thermal = fn(&Frame<'_>, Option<Place>) -> Option<Temperature>;

/// A camera.
pub struct Camera {
    source: Box<dyn FrameSource>,
    save: SavePhoto,
    preview: Preview,
    /// Looks for codes, if it is to.
    watch: Option<CodeWatch>,
    thermal: Option<(Thermal, Option<Place>)>,
    begun: Instant,
    shown: Option<Instant>,
    wanted: Vec<Wanted>,
    measuring: Option<Ticket>,
}

impl Camera {
    /// From a source.
    pub fn new(source: Box<dyn FrameSource>, read_codes: bool, save: SavePhoto, preview: Preview) -> Self {
        Self {
            source,
            save,
            preview,
            watch: read_codes.then(CodeWatch::default),
            thermal: None,
            begun: Instant::now(),
            shown: None,
            wanted: Vec::new(),
            measuring: None,
        }
    }

    /// One whose frames are temperatures.
    pub fn thermal(self, thermal: Thermal, black_body: Option<Place>) -> Self {
        Self { thermal: Some((thermal, black_body)), ..self }
    }

    fn take_up(&mut self, DeviceCommand { ticket, command, .. }: DeviceCommand, hands: &DeviceLink) {
        match command {
            Command::Capture { role } => match self.source.picture(&role) {
                Some(stored) => {
                    let kept = stored.and_then(|p| still::keep(&crate::jpeg::with_tables(&p), &self.save));
                    answer(hands, ticket, kept);
                }
                None if self.wanted.len() < MAX_WANTED => self.wanted.push(Wanted { ticket, torn: 0 }),
                None => hands.no_data(ticket, NoData::Timeout),
            },
            Command::Measure if self.thermal.is_some() => self.measuring = Some(ticket),
            Command::Stop => self.measuring = None,
            Command::Measure
            | Command::Pulse { .. }
            | Command::Print { .. }
            | Command::Read { .. }
            | Command::Signal { .. } => {
                hands.no_data(ticket, NoData::Fault);
            }
        }
    }

    /// What one frame is used for.
    fn use_frame(&mut self, hands: &DeviceLink) -> Result<(), DeviceError> {
        let frame = match self.source.frame()? {
            FrameResult::Frame(frame) => frame,
            FrameResult::Nothing => return Ok(()),
            FrameResult::Damaged(why) => {
                hands.monitor.error(why);
                return Ok(());
            }
        };
        hands.monitor.seen();
        let looked_at = self.preview.receiver_count() > 0;
        let show = looked_at && self.shown.is_none_or(|at| at.elapsed() >= PREVIEW);
        if let (Some(ticket), Some((thermal, black_body))) = (self.measuring, self.thermal) {
            match thermal(&frame, black_body) {
                Some(frame) => hands.report(Report::Temperature { ticket, frame }),
                None => hands.monitor.error("a frame without temperatures: is its radiometric mode on?"),
            }
        }
        let jpeg = (show || !self.wanted.is_empty()).then(|| frame.jpeg());
        if let Some(watch) = &mut self.watch
            && let Some(luma) = frame.luma()
        {
            let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let panics = watch.panics;
            match watch.look(now, &luma) {
                FrameScan::Code(bytes) => hands.report(Report::Scan { bytes }),
                FrameScan::Part => {
                    hands.monitor.error("a part of a code that is spread over several: it is refused")
                }
                FrameScan::Still | FrameScan::Nothing | FrameScan::Known => {}
            }
            if watch.panics > panics {
                hands.monitor.error("a reader of codes failed on a frame");
            }
        }
        let Some(jpeg) = jpeg else { return Ok(()) };
        if show && let Ok(jpeg) = &jpeg {
            self.preview.send_replace(Some(jpeg.as_slice().into()));
            self.shown = Some(Instant::now());
        }
        // Whoever asked before this frame gets this frame, or the next whole one.
        for _ in 0..self.wanted.len() {
            let Wanted { ticket, torn } = self.wanted.remove(0);
            let kept = match &jpeg {
                Ok(jpeg) => still::keep(jpeg, &self.save),
                Err(e) => Err(StillError::Jpeg(e.to_string())),
            };
            match kept {
                Err(StillError::Jpeg(_)) if torn < MAX_TORN => {
                    self.wanted.push(Wanted { ticket, torn: torn + 1 })
                }
                kept => answer(hands, ticket, kept),
            }
        }
        Ok(())
    }
}

impl Blocking for Camera {
    fn open(&mut self) -> Result<String, DeviceError> {
        let about = self.source.open()?;
        // A camera that opens and does not stream is no camera.
        if let Err(trouble) = self.source.frame().map(drop) {
            self.source.close();
            return Err(trouble);
        }
        Ok(about)
    }
    fn pace(&self) -> Duration {
        self.source.pace()
    }
    fn heavy(&self) -> bool {
        self.watch.is_some()
    }
    fn turn(&mut self, device_command: Option<DeviceCommand>, hands: &DeviceLink) -> Result<(), DeviceError> {
        if let Some(device_command) = device_command {
            self.take_up(device_command, hands);
        }
        self.use_frame(hands)
    }
    fn close(&mut self) -> Vec<Ticket> {
        let left = self.wanted.drain(..).map(|w| w.ticket).chain(self.measuring.take()).collect();
        // The crate panics when a camera does not stop: the tickets are safe then.
        if catch_unwind(AssertUnwindSafe(|| self.source.close())).is_err() {
            log::warn!("a camera could not be closed in order");
        }
        left
    }
}

fn answer(hands: &DeviceLink, ticket: Ticket, photo: Result<Photo, StillError>) {
    match photo {
        Ok(photo) => {
            hands.monitor.seen();
            hands.report(Report::Photo { ticket, photo });
        }
        Err(e) => {
            log::warn!(device = hands.device(); "no picture: {e}");
            hands.monitor.error(&e.to_string());
            let why = match e {
                StillError::Read(..) => NoData::NotPresent,
                StillError::Jpeg(_) | StillError::TooLarge => NoData::Garbled,
                StillError::Store(_) => NoData::Fault,
            };
            hands.no_data(ticket, why);
        }
    }
}
