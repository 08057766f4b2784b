//! A camera that reads files, for the demo, for tests and for pictures from another program: one JPEG, or a
//! folder that holds `ROLE.jpg` for each picture that a lane takes, and `scene.jpg` for what is to be seen now.

use super::frame::{Frame, Pixels};
use super::still::{MAX_BYTES, StillError};
use super::{FrameResult, FrameSource};
use crate::blocking::DeviceError;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often the file is looked at: like a camera of ten frames a second.
const PACE: Duration = Duration::from_millis(100);

/// The source.
pub struct Files {
    path: PathBuf,
    /// The time and size of the file whose bytes are kept.
    known: Option<(SystemTime, u64)>,
    bytes: Vec<u8>,
}

impl Files {
    /// At a path.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), known: None, bytes: Vec::new() }
    }

    fn file(&self, name: &str) -> PathBuf {
        if self.path.is_dir() { self.path.join(format!("{name}.jpg")) } else { self.path.clone() }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, StillError> {
    let cannot = |e| StillError::Read(file.to_path_buf(), e);
    if std::fs::metadata(file).map_err(cannot)?.len() > MAX_BYTES {
        return Err(StillError::TooLarge);
    }
    std::fs::read(file).map_err(cannot)
}

impl FrameSource for Files {
    fn open(&mut self) -> Result<String, DeviceError> {
        if self.path.exists() {
            Ok(String::new())
        } else {
            Err(DeviceError::Absent(format!("{} is not there", self.path.display())))
        }
    }

    fn pace(&self) -> Duration {
        PACE
    }

    fn frame(&mut self) -> Result<FrameResult<'_>, DeviceError> {
        self.open()?;
        let file = self.file("scene");
        let Ok(about) = std::fs::metadata(&file) else { return Ok(FrameResult::Nothing) };
        let stamp = (about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len());
        if self.known != Some(stamp) {
            // A file that is being written is looked at again.
            let Ok(bytes) = read(&file) else { return Ok(FrameResult::Nothing) };
            (self.bytes, self.known) = (bytes, Some(stamp));
        }
        Ok(FrameResult::Frame(Frame {
            bytes: &self.bytes,
            pixels: Pixels::Jpeg,
            width: 0,
            height: 0,
            stride: 0,
        }))
    }

    fn picture(&mut self, role: &str) -> Option<Result<Vec<u8>, StillError>> {
        Some(read(&self.file(role)))
    }

    fn close(&mut self) {}
}
