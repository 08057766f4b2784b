//! Asks at a port what is behind it.

use kakou_drivers::known::{PROBE_BYTES, PROBE_MS, PROBES, Probe};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_serial::{ClearBuffer, SerialPort, SerialPortBuilderExt};

/// Between two questions the line rests, so that a late answer is thrown away.
const REST: Duration = Duration::from_millis(60);

/// Who answered at a port, or why it cannot be asked.
pub async fn ask(port: &Path) -> Result<Option<&'static Probe>, String> {
    for probe in &PROBES {
        if try_one(port, probe).await.map_err(|e| e.to_string())? {
            return Ok(Some(probe));
        }
    }
    Ok(None)
}

async fn try_one(port: &Path, probe: &Probe) -> std::io::Result<bool> {
    answered(port, probe.baud, &(probe.ask)(), probe.is_answer).await
}

/// Whether a question at a port is answered.
pub async fn answered(
    port: &Path,
    baud: u32,
    question: &[u8],
    is_answer: impl Fn(&[u8]) -> bool,
) -> std::io::Result<bool> {
    let mut stream = tokio_serial::new(port.to_string_lossy(), baud).open_native_async()?;
    tokio::time::sleep(REST).await;
    stream.clear(ClearBuffer::All)?;
    stream.write_all(question).await?;
    let until = Instant::now() + Duration::from_millis(PROBE_MS);
    let (mut answer, mut chunk) = (Vec::new(), [0; 512]);
    while answer.len() < PROBE_BYTES {
        match timeout_at(until, stream.read(&mut chunk)).await {
            Ok(Ok(0)) | Err(_) => break,
            Ok(Ok(n)) => answer.extend_from_slice(&chunk[..n]),
            Ok(Err(e)) => return Err(e),
        }
        if is_answer(&answer) {
            return Ok(true);
        }
    }
    Ok(is_answer(&answer))
}
