//! A Modbus relay board: answers, and tells each pulse to whoever listens.

use super::{Pty, listen};
use crate::modbus_relay::{crc16, framed};
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

/// The board.
pub struct RelaySim {
    pty: Pty,
}

/// One pulse.
#[derive(Debug, Clone, Copy)]
pub struct Pulse {
    /// When the last byte of the request arrived.
    pub at: Instant,
    /// How long the relay closes.
    pub ms: u32,
}

impl RelaySim {
    /// On a line of its own; `on_pulse` is called before the answer is sent.
    pub fn new(link: &Path, mut on_pulse: impl FnMut(Pulse) + Send + 'static) -> io::Result<Self> {
        let pty = Pty::new(link)?;
        let mut out = pty.handle()?;
        let mut buffer: Vec<u8> = Vec::new();
        listen(&pty, move |bytes| {
            buffer.extend_from_slice(bytes);
            while buffer.len() >= 8 {
                let (body, crc) = buffer[..8].split_at(6);
                if crc != crc16(body) {
                    buffer.remove(0);
                    continue;
                }
                let request = buffer[..8].to_vec();
                buffer.drain(..8);
                let answer = match request[1] {
                    0x05 => {
                        if request[2] == 0x02 {
                            let tenths = u32::from(u16::from_be_bytes([request[4], request[5]]));
                            on_pulse(Pulse { at: Instant::now(), ms: tenths * 100 });
                        }
                        request
                    }
                    0x01 => framed(&[request[0], 0x01, 0x01, 0x00]),
                    other => framed(&[request[0], other | 0x80, 0x01]),
                };
                drop(out.write_all(&answer));
            }
        })?;
        Ok(Self { pty })
    }
    /// The path that the daemon opens.
    pub fn path(&self) -> &Path {
        self.pty.path()
    }
}
