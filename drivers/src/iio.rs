//! MLX90614 through the kernel's industrial I/O: files that hold raw values, in `/sys/bus/iio/devices/iio:deviceN`.
//!
//! Milli-degrees are (raw + offset) × scale; the kernel's driver has scale 20 and offset −13657.5. Source: kernel
//! documentation, sysfs-bus-iio.

use crate::DeviceCommand;
use crate::blocking::{Blocking, DeviceError, DeviceLink};
use kakou_core::reading::{Report, Temperature, Ticket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ten readings a second.
const PACE: Duration = Duration::from_millis(100);
/// While nobody is measured.
const REST: Duration = Duration::from_secs(1);

/// The sensor.
#[derive(Debug)]
pub struct Iio {
    folder: PathBuf,
    body_grade: bool,
    measuring: Option<Ticket>,
}

impl Iio {
    /// In this folder.
    pub fn new(folder: &Path, body_grade: bool) -> Self {
        Self { folder: folder.to_path_buf(), body_grade, measuring: None }
    }

    fn number(&self, file: &str) -> Result<f64, DeviceError> {
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|e| DeviceError::Absent(format!("{}: {e}", path.display())))?;
        let value: f64 =
            text.trim().parse().map_err(|_| DeviceError::Fault(format!("{}: no number", path.display())))?;
        Ok(value)
    }

    /// One value; an own offset and scale of the channel win over those of all temperatures.
    fn temperature(&self, channel: &str) -> Result<i32, DeviceError> {
        let raw = self.number(&format!("in_temp_{channel}_raw"))?;
        let of = |what: &str| {
            self.number(&format!("in_temp_{channel}_{what}"))
                .or_else(|_| self.number(&format!("in_temp_{what}")))
        };
        let mdeg = (raw + of("offset")?) * of("scale")?;
        if !(-100_000.0..=1_000_000.0).contains(&mdeg) {
            return Err(DeviceError::Fault("a temperature that cannot be".into()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        let mdeg = mdeg.round() as i32;
        Ok(mdeg)
    }
}

impl Blocking for Iio {
    fn open(&mut self) -> Result<String, DeviceError> {
        self.temperature("object")?;
        Ok(std::fs::read_to_string(self.folder.join("name")).unwrap_or_default().trim().to_owned())
    }

    fn pace(&self) -> Duration {
        if self.measuring.is_some() { PACE } else { REST }
    }

    fn turn(&mut self, device_command: Option<DeviceCommand>, hands: &DeviceLink) -> Result<(), DeviceError> {
        hands.measuring(device_command, &mut self.measuring);
        let object_mdeg = self.temperature("object")?;
        hands.monitor.seen();
        if let Some(ticket) = self.measuring {
            let ambient_mdeg = self.temperature("ambient").ok();
            let frame =
                Temperature { object_mdeg, ambient_mdeg, reference_mdeg: None, body_grade: self.body_grade };
            hands.report(Report::Temperature { ticket, frame });
        }
        Ok(())
    }

    fn close(&mut self) -> Vec<Ticket> {
        self.measuring.take().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_scale_and_offset_are_used() {
        let dir = std::env::temp_dir().join(format!("kakou-iio-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.join(file), text).unwrap();
        let mut sensor = Iio::new(&dir, true);
        assert!(matches!(sensor.open(), Err(DeviceError::Absent(_))));
        write("in_temp_object_raw", "15058\n");
        write("in_temp_offset", "-13657.500000\n");
        write("in_temp_scale", "20.000000\n");
        write("name", "mlx90614\n");
        // The published vector D2 3A is 28.01 °C.
        assert_eq!(sensor.temperature("object"), Ok(28_010));
        assert_eq!(sensor.open(), Ok("mlx90614".into()));
        write("in_temp_object_raw", "garbage\n");
        assert!(matches!(sensor.open(), Err(DeviceError::Fault(_))));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
