//! Asks at a port what is behind it.

use kakou_drivers::known::{PROBE_BYTES, Probe, questions};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_serial::{ClearBuffer, SerialPort, SerialPortBuilderExt};

/// Between two questions the line rests, so that a late answer is thrown away.
const REST: Duration = Duration::from_millis(60);

/// What came of asking.
#[derive(Default)]
pub struct ProbeResult {
    /// Who answered, and at which speed.
    pub who: Option<(&'static Probe, u32)>,
    /// Whether the adapter sends back what it gets.
    pub echoes: bool,
}

/// Who answers at a port, or why it cannot be asked.
pub async fn ask(port: &Path) -> Result<ProbeResult, String> {
    let mut out = ProbeResult::default();
    for (probe, baud) in questions() {
        let wait = Duration::from_millis(probe.wait_ms);
        let enough = |heard: &[u8]| !probe.alone && (probe.is_answer)(heard);
        let heard = hear(port, baud, &(probe.ask)(), wait, enough).await.map_err(|e| e.to_string())?;
        let own = heard.strip_prefix(&(probe.ask)()[..]);
        out.echoes |= own.is_some();
        if (probe.is_answer)(own.unwrap_or(&heard)) {
            if !probe.behind.is_empty() {
                hear(port, baud, probe.behind, REST, |_| false).await.map_err(|e| e.to_string())?;
            }
            out.who = Some((probe, baud));
            break;
        }
    }
    Ok(out)
}

/// Whether a question at a port is answered.
pub async fn answered(
    port: &Path,
    baud: u32,
    question: &[u8],
    wait: Duration,
    is_answer: impl Fn(&[u8]) -> bool,
) -> std::io::Result<bool> {
    let heard = hear(port, baud, question, wait, &is_answer).await?;
    Ok(is_answer(&heard))
}

/// What comes back for a question, until it is enough or the time is over.
async fn hear(
    port: &Path,
    baud: u32,
    question: &[u8],
    wait: Duration,
    is_enough: impl Fn(&[u8]) -> bool,
) -> std::io::Result<Vec<u8>> {
    let mut stream = tokio_serial::new(port.to_string_lossy(), baud).open_native_async()?;
    tokio::time::sleep(REST).await;
    stream.clear(ClearBuffer::All)?;
    stream.write_all(question).await?;
    let until = Instant::now() + wait;
    let (mut answer, mut chunk) = (Vec::new(), [0; 512]);
    while answer.len() < PROBE_BYTES && !is_enough(&answer) {
        match timeout_at(until, stream.read(&mut chunk)).await {
            Ok(Ok(0)) | Err(_) => break,
            Ok(Ok(n)) => answer.extend_from_slice(&chunk[..n]),
            Ok(Err(e)) => return Err(e),
        }
    }
    Ok(answer)
}
