//! Cameras of the kernel's V4L2 interface: USB cameras, camera modules, thermal cameras.
//!
//! What is known of the crate and of drivers, and is kept to here: after a time-out the stream is dropped, since
//! its next call would queue a buffer that the kernel still owns; a frame is as long as `bytesused` says;
//! frames that are marked as erroneous count as errors and are not used; ENODEV means gone. Frames
//! that wait are thrown away: the next one shows what is there now. Everything happens on the camera's own thread, guarded, since the crate
//! panics on some errors.

use super::frame::{Frame, Pixels};
use super::{FrameResult, FrameSource};
use crate::blocking::DeviceError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use v4l::buffer::{Flags, Type};
use v4l::capability::Flags as Capabilities;
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::{Device, Format, FourCC};

/// A camera that gives no frame for so long is started anew.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(2);
/// Buffers of the kernel, each as large as an uncompressed frame and resident: one is filled while the other is read.
const BUFFERS: u32 = 2;
/// Waiting frames that are thrown away, at most.
const MAX_STALE: usize = 8;
/// `poll`: there is something to read.
const POLLIN: i16 = 1;

/// The formats, the best first. A JPEG is evidence as it comes.
const CAMERA: [(&[u8; 4], Pixels); 4] =
    [(b"MJPG", Pixels::Jpeg), (b"YUYV", Pixels::Yuyv), (b"NV12", Pixels::Nv12), (b"GREY", Pixels::Grey)];
/// Those of thermal cameras.
const THERMAL: [(&[u8; 4], Pixels); 3] =
    [(b"Y16 ", Pixels::Y16), (b"Y16\xa0", Pixels::Y16Be), (b"Y12 ", Pixels::Y16)];

/// What a camera is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Pictures for people and codes.
    Camera,
    /// Temperatures.
    Thermal,
}

/// A camera.
pub struct V4l2 {
    path: PathBuf,
    size: Option<(u32, u32)>,
    purpose: Purpose,
    open: Option<Open>,
}

struct Open {
    // Dropped before the device.
    stream: Stream<'static>,
    device: Device,
    pixels: Pixels,
    format: Format,
}

impl V4l2 {
    /// At `/dev/videoN` or a link to it.
    pub fn new(path: &Path, size: Option<(u32, u32)>, purpose: Purpose) -> Self {
        Self { path: path.to_path_buf(), size, purpose, open: None }
    }

    fn try_open(&self) -> Result<Open, DeviceError> {
        let shown = self.path.display();
        let device = Device::with_path(&self.path)
            .map_err(|e| DeviceError::Absent(format!("{shown} cannot be opened: {e}")))?;
        let fault = |what: &str, e: std::io::Error| DeviceError::Fault(format!("{shown}: {what}: {e}"));
        let caps = device.query_caps().map_err(|e| fault("is no camera", e))?;
        if !caps.capabilities.contains(Capabilities::VIDEO_CAPTURE | Capabilities::STREAMING) {
            return Err(DeviceError::Fault(format!(
                "{shown} gives no pictures: take another node of this camera"
            )));
        }
        let offered = device.enum_formats().map_err(|e| fault("lists no formats", e))?;
        let wanted: &[(&[u8; 4], Pixels)] = match self.purpose {
            Purpose::Camera => &CAMERA,
            Purpose::Thermal => &THERMAL,
        };
        let choice = wanted.iter().find(|(code, _)| offered.iter().any(|o| o.fourcc == FourCC::new(code)));
        let Some((code, pixels)) = choice else {
            let names: Vec<String> = offered.iter().map(|o| o.fourcc.to_string()).collect();
            return Err(DeviceError::Fault(format!(
                "{shown} offers none of our formats, only {}",
                names.join(", ")
            )));
        };
        let mut format = device.format().map_err(|e| fault("has no format", e))?;
        (format.width, format.height) = self.size.unwrap_or((format.width, format.height));
        format.fourcc = FourCC::new(code);
        let format = device.set_format(&format).map_err(|e| fault("does not take a format", e))?;
        if format.fourcc != FourCC::new(code) {
            return Err(DeviceError::Fault(format!(
                "{shown} gives {} though it offers others",
                format.fourcc
            )));
        }
        let mut stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS)
            .map_err(|e| fault("does not stream (does another program use it?)", e))?;
        stream.set_timeout(FRAME_TIMEOUT);
        Ok(Open { stream, device, pixels: *pixels, format })
    }
}

/// What an error of a running camera means.
fn trouble(e: &std::io::Error) -> DeviceError {
    if e.kind() == ErrorKind::TimedOut {
        return DeviceError::Timeout;
    }
    if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) {
        return DeviceError::Absent("unplugged".into());
    }
    DeviceError::Fault(e.to_string())
}

impl FrameSource for V4l2 {
    fn open(&mut self) -> Result<String, DeviceError> {
        self.open = None;
        let open = self.try_open()?;
        let about = format!("{}x{} {}", open.format.width, open.format.height, open.format.fourcc);
        self.open = Some(open);
        Ok(about)
    }

    fn pace(&self) -> Duration {
        Duration::ZERO
    }

    fn frame(&mut self) -> Result<FrameResult<'_>, DeviceError> {
        let Some(open) = &mut self.open else { return Err(DeviceError::Absent("not open".into())) };
        // Before the first frame a camera that does not stream yet is ready as well: the frame is thrown away.
        let mut stale = 0;
        while stale < MAX_STALE && open.device.handle().poll(POLLIN, 0).is_ok_and(|n| n > 0) {
            open.stream.next().map_err(|e| trouble(&e))?;
            stale += 1;
        }
        let (bytes, about) = open.stream.next().map_err(|e| trouble(&e))?;
        let used = (about.bytesused as usize).min(bytes.len());
        if about.flags.contains(Flags::ERROR) || used == 0 {
            return Ok(FrameResult::Damaged("the camera marked a frame as damaged"));
        }
        let Format { width, height, stride, .. } = open.format;
        Ok(FrameResult::Frame(Frame {
            bytes: &bytes[..used],
            pixels: open.pixels,
            width: width as usize,
            height: height as usize,
            stride: stride as usize,
        }))
    }

    fn picture(&mut self, _: &str) -> Option<Result<Vec<u8>, super::still::StillError>> {
        None
    }

    fn close(&mut self) {
        self.open = None;
    }
}
