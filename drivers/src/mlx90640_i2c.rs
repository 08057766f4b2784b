//! MLX90640 straight on I2C, address 0x33: its memory is read, its pictures are calibrated here.
//!
//! Calibration words from 0x2400, the picture from 0x0400, status 0x8000 (bit 3: a new half of the picture, bit 0:
//! which), control 0x800D. The two halves take turns; both are needed, and the first pictures after power are
//! dropped. Source: maker's data sheet.

use crate::DeviceCommand;
use crate::blocking::{Blocking, DeviceError, DeviceLink};
use crate::gy_mcu90640::{COLUMNS, Field, Place, ROWS};
use crate::mlx90640::{Calibration, PIXELS, Scene, SubPage, WORDS};
use i2cdev::core::{I2CMessage, I2CTransfer};
use i2cdev::linux::{LinuxI2CBus, LinuxI2CError, LinuxI2CMessage};
use kakou_core::reading::{Report, Temperature, Ticket};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ADDRESS: u16 = 0x33;
const EEPROM: u16 = 0x2400;
const RAM: u16 = 0x0400;
const STATUS: u16 = 0x8000;
const CONTROL: u16 = 0x800d;
/// Words in one transfer: some adapters take no more than 8 KB, some much less.
const CHUNK: usize = 128;
/// Halves after power that are not used.
const WARM_UP: u32 = 4;
/// Skin, and the surroundings as the sensor itself knows them.
const SKIN: Scene = Scene { emissivity: 0.98, reflected: None };
/// A new half comes at least this often; at 8 Hz every 125 ms.
const PACE: Duration = Duration::from_millis(20);
/// So many looks without a new half, and the sensor does not work.
const MAX_SILENT: u32 = 150;

/// Reads and writes words; the seam for tests.
pub trait Words: Send {
    /// Reads words from a register on.
    fn read(&mut self, from: u16, words: &mut [u16]) -> Result<(), DeviceError>;
    /// Writes a register.
    fn write(&mut self, to: u16, value: u16) -> Result<(), DeviceError>;
}

/// A bus of the kernel, `/dev/i2c-N`.
struct Bus(LinuxI2CBus);

fn trouble(e: LinuxI2CError) -> DeviceError {
    let e = std::io::Error::from(e);
    match e.raw_os_error() {
        // ENXIO and EREMOTEIO: nobody answers at this address. ENODEV: the adapter is gone.
        Some(6 | 121 | 19) => DeviceError::Absent("no sensor answers at I2C address 0x33".into()),
        _ => DeviceError::Fault(e.to_string()),
    }
}

impl Words for Bus {
    fn read(&mut self, from: u16, words: &mut [u16]) -> Result<(), DeviceError> {
        let mut register = from;
        for chunk in words.chunks_mut(CHUNK) {
            let mut bytes = vec![0; chunk.len() * 2];
            let at = register.to_be_bytes();
            let mut messages = [
                LinuxI2CMessage::write(&at).with_address(ADDRESS),
                LinuxI2CMessage::read(&mut bytes).with_address(ADDRESS),
            ];
            self.0.transfer(&mut messages).map_err(trouble)?;
            for (word, pair) in chunk.iter_mut().zip(bytes.chunks_exact(2)) {
                *word = u16::from_be_bytes([pair[0], pair[1]]);
            }
            register += u16::try_from(chunk.len()).unwrap_or(0);
        }
        Ok(())
    }

    fn write(&mut self, to: u16, value: u16) -> Result<(), DeviceError> {
        let bytes = [to.to_be_bytes(), value.to_be_bytes()].concat();
        let mut messages = [LinuxI2CMessage::write(&bytes).with_address(ADDRESS)];
        self.0.transfer(&mut messages).map(drop).map_err(trouble)
    }
}

/// How the sensor is reached.
type Open = Box<dyn Fn() -> Result<Box<dyn Words>, DeviceError> + Send>;

/// The sensor, and the pixels of its latest halves.
pub struct Mlx90640 {
    reach: Open,
    words: Option<(Box<dyn Words>, Calibration)>,
    pixels: Vec<f64>,
    halves: u32,
    silent: u32,
    measuring: Option<Ticket>,
    black_body: Option<Place>,
}

impl Mlx90640 {
    /// On a bus.
    pub fn new(bus: &Path, black_body: Option<Place>) -> Self {
        let bus: PathBuf = bus.into();
        let reach: Open = Box::new(move || {
            let open = LinuxI2CBus::new(&bus);
            let open = open.map_err(|e| {
                DeviceError::Absent(format!("{}: {}", bus.display(), std::io::Error::from(e)))
            })?;
            Ok(Box::new(Bus(open)))
        });
        Self { black_body, ..Self::reached(reach) }
    }

    fn reached(reach: Open) -> Self {
        Self {
            reach,
            words: None,
            pixels: vec![0.0; PIXELS],
            halves: 0,
            silent: 0,
            measuring: None,
            black_body: None,
        }
    }

    /// Takes a half of a picture, if there is a new one. Gives the warmest place when both halves are fresh.
    fn take(&mut self) -> Result<Option<Temperature>, DeviceError> {
        let Some((words, calibration)) = &mut self.words else {
            return Err(DeviceError::Absent("not open".into()));
        };
        let mut status = [0];
        words.read(STATUS, &mut status)?;
        if status[0] & 0x08 == 0 {
            self.silent += 1;
            return if self.silent > MAX_SILENT { Err(DeviceError::Timeout) } else { Ok(None) };
        }
        self.silent = 0;
        let mut ram = vec![0; WORDS];
        words.read(RAM, &mut ram)?;
        let mut control = [0];
        words.read(CONTROL, &mut control)?;
        // Read, and may be written over.
        words.write(STATUS, 0x0030)?;
        let page = SubPage { ram, control: control[0], half: usize::from(status[0] & 1) };
        let ambient = calibration.ambient(&page);
        calibration.temperatures(&page, SKIN, &mut self.pixels);
        for &broken in calibration.broken() {
            // A broken pixel is what its neighbours are.
            let beside = if broken % COLUMNS == 0 { broken + 1 } else { broken - 1 };
            self.pixels[broken] = self.pixels[beside];
        }
        self.halves += 1;
        if self.halves <= WARM_UP {
            return Ok(None);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let hundredths: Vec<i16> = self.pixels.iter().map(|c| (c * 100.0) as i16).collect();
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let ambient_mdeg = Some((ambient * 1_000.0) as i32);
        let field = Field { pixels: &hundredths, columns: COLUMNS, rows: ROWS };
        let object_mdeg = field.warmest(self.black_body) * 10;
        let reference_mdeg = self.black_body.and_then(|at| field.around(at)).map(|t| t * 10);
        Ok(Some(Temperature { object_mdeg, ambient_mdeg, reference_mdeg, body_grade: false }))
    }
}

impl Blocking for Mlx90640 {
    fn open(&mut self) -> Result<String, DeviceError> {
        self.words = None;
        let mut words = (self.reach)()?;
        let mut memory = vec![0; WORDS];
        words.read(EEPROM, &mut memory)?;
        let calibration = Calibration::read(&memory).map_err(|e| DeviceError::Fault(e.to_string()))?;
        let about = format!("MLX90640 {:04x}{:04x}{:04x}", memory[7], memory[8], memory[9]);
        self.words = Some((words, calibration));
        (self.halves, self.silent) = (0, 0);
        Ok(about)
    }

    fn pace(&self) -> Duration {
        PACE
    }

    fn turn(&mut self, device_command: Option<DeviceCommand>, hands: &DeviceLink) -> Result<(), DeviceError> {
        hands.measuring(device_command, &mut self.measuring);
        if let Some(frame) = self.take()? {
            hands.monitor.seen();
            if let Some(ticket) = self.measuring {
                hands.report(Report::Temperature { ticket, frame });
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Vec<Ticket> {
        self.words = None;
        self.measuring.take().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sensor whose memory was never written, or that is not there.
    struct Blank(Option<u16>);

    impl Words for Blank {
        fn read(&mut self, _: u16, words: &mut [u16]) -> Result<(), DeviceError> {
            words.fill(self.0.ok_or_else(|| DeviceError::Absent("nobody".into()))?);
            Ok(())
        }
        fn write(&mut self, _: u16, _: u16) -> Result<(), DeviceError> {
            Ok(())
        }
    }

    #[test]
    fn a_sensor_without_calibration_is_a_fault_and_no_sensor_is_absent() {
        let mut blank = Mlx90640::reached(Box::new(|| Ok(Box::new(Blank(Some(0xffff))))));
        assert!(matches!(blank.open(), Err(DeviceError::Fault(_))));
        let mut nobody = Mlx90640::reached(Box::new(|| Ok(Box::new(Blank(None)))));
        assert!(matches!(nobody.open(), Err(DeviceError::Absent(_))));
    }
}
