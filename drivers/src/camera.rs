//! Still photographs as evidence: the original JPEG bytes are kept, measured and made durable
//! before anything names them. Only the Huffman tables are added where a camera leaves them out.
//!
//! This source takes pictures from a file, or from a folder that holds `ROLE.jpg`.

use crate::health::{Monitor, State};
use crate::jpeg::with_tables;
use crate::{Errand, Gateway, SavePhoto};
use kakou_core::ids::DeviceId;
use kakou_core::reading::{Command, NoData, Photo, Report};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The largest picture file.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The largest side of a picture.
const MAX_SIDE: usize = 8192;
/// How often the source is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file is too large.
    #[error("larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// It is not a whole JPEG.
    #[error("not a whole JPEG: {0}")]
    Jpeg(String),
    /// It could not be made durable.
    #[error("the picture could not be stored: {0}")]
    Store(std::io::Error),
}

/// What a picture looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Variance of the Laplacian of the luma at half size.
    pub sharpness: u32,
    /// Mean luma.
    pub luma: u8,
}

/// Decodes the luma and measures it.
pub fn measure(jpeg: &[u8]) -> Result<Look, CameraError> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::Luma)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let bad = |e: &dyn std::fmt::Debug| CameraError::Jpeg(format!("{e:?}"));
    let luma = decoder.decode().map_err(|e| bad(&e))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| CameraError::Jpeg("no size".into()))?;
    if width < 4 || height < 4 || luma.len() < width * height {
        return Err(CameraError::Jpeg("too small".into()));
    }
    let half = halve(&luma, width, height);
    let mean = luma.iter().map(|&p| u64::from(p)).sum::<u64>() / luma.len() as u64;
    Ok(Look {
        width: u32::try_from(width).unwrap_or(u32::MAX),
        height: u32::try_from(height).unwrap_or(u32::MAX),
        sharpness: laplacian_variance(&half, width / 2, height / 2),
        luma: u8::try_from(mean).unwrap_or(u8::MAX),
    })
}

fn halve(luma: &[u8], width: usize, height: usize) -> Vec<i32> {
    let mut out = Vec::with_capacity(width * height / 4);
    for y in 0..height / 2 {
        let (a, b) = (&luma[2 * y * width..], &luma[(2 * y + 1) * width..]);
        for x in 0..width / 2 {
            let four = [a[2 * x], a[2 * x + 1], b[2 * x], b[2 * x + 1]];
            out.push(four.iter().map(|&p| i32::from(p)).sum::<i32>() / 4);
        }
    }
    out
}

fn laplacian_variance(luma: &[i32], width: usize, height: usize) -> u32 {
    let (mut sum, mut squares, mut n) = (0_i64, 0_i64, 0_i64);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            let v =
                i64::from(luma[at - 1] + luma[at + 1] + luma[at - width] + luma[at + width] - 4 * luma[at]);
            sum += v;
            squares += v * v;
            n += 1;
        }
    }
    if n == 0 {
        return 0;
    }
    u32::try_from(squares / n - (sum / n).pow(2)).unwrap_or(0)
}

/// The file for a role.
fn source(path: &Path, role: &str) -> PathBuf {
    if path.is_dir() { path.join(format!("{role}.jpg")) } else { path.to_path_buf() }
}

fn take(path: &Path, role: &str, save: &SavePhoto) -> Result<Photo, CameraError> {
    let file = source(path, role);
    let read = |e| CameraError::Read(file.clone(), e);
    if std::fs::metadata(&file).map_err(read)?.len() > MAX_BYTES {
        return Err(CameraError::TooLarge);
    }
    let bytes = std::fs::read(&file).map_err(read)?;
    let bytes = with_tables(&bytes);
    let look = measure(&bytes)?;
    let sha256 = save(&bytes).map_err(CameraError::Store)?;
    Ok(Photo {
        sha256,
        bytes: bytes.len() as u64,
        width: look.width,
        height: look.height,
        sharpness: look.sharpness,
        luma: look.luma,
    })
}

/// What a still camera needs.
pub struct Stills {
    /// The device.
    pub device: DeviceId,
    /// File or folder.
    pub path: PathBuf,
    /// Commands from the lanes.
    pub commands: mpsc::Receiver<Errand>,
    /// Where reports go.
    pub gateway: Arc<dyn Gateway>,
    /// Makes pictures durable.
    pub save: SavePhoto,
    /// Its health.
    pub monitor: Monitor,
}

/// Runs until cancelled. Decoding and storing happen off the async threads.
pub async fn run(mut camera: Stills, cancel: CancellationToken) {
    let mut ready = None;
    loop {
        let there = camera.path.exists();
        if ready.replace(there) != Some(there) {
            let why = format!("{} is not there", camera.path.display());
            camera
                .monitor
                .state(if there { State::Ready } else { State::Absent }, if there { "" } else { &why });
            camera.gateway.report(&camera.device, Report::Link { ready: there }, Instant::now());
        }
        let errand = tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK) => continue,
            command = camera.commands.recv() => match command { None => return, Some(c) => c },
        };
        let Errand { ticket, command: Command::Capture { role }, .. } = errand else { continue };
        let (path, save) = (camera.path.clone(), camera.save.clone());
        let taken = tokio::task::spawn_blocking(move || take(&path, &role, &save)).await;
        let report = match taken {
            Ok(Ok(photo)) => {
                camera.monitor.seen();
                Report::Photo { ticket, photo }
            }
            Ok(Err(e)) => {
                log::warn!(device = camera.device.as_str(); "no picture: {e}");
                camera.monitor.error(&e.to_string());
                let why = match e {
                    CameraError::Read(..) => NoData::NotPresent,
                    CameraError::Jpeg(_) | CameraError::TooLarge => NoData::Garbled,
                    CameraError::Store(_) => NoData::Fault,
                };
                Report::NoData { ticket, why }
            }
            Err(e) => {
                camera.monitor.error(&format!("the decoder failed: {e}"));
                Report::NoData { ticket, why: NoData::Fault }
            }
        };
        if !camera.gateway.report(&camera.device, report, Instant::now()) {
            camera.monitor.error("the gateway is too busy: a report was dropped");
        }
    }
}
