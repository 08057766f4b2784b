//! MLLP: a message stands between 0x0B and 0x1C 0x0D. In neither of the encodings that are read does a letter have one of
//! these bytes in it, so a message is whole with its 0x1C; a carriage return behind it may be missing.

use kakou_core::hl7::LONGEST;

const BEGINS: u8 = 0x0b;
const ENDS: u8 = 0x1c;

/// What came that is no frame. The connection cannot go on: nobody knows where the next message begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFault {
    /// Something stands outside of a frame.
    Outside,
    /// It does not end where a message ends at the latest.
    Endless,
}

/// Bytes that have come, and are no whole message yet.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// So many of them were looked at.
    seen: usize,
}

impl Frames {
    /// More have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a message has begun that is not whole.
    pub fn has_begun(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next message that is whole.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, FrameFault> {
        if self.seen == 0 {
            let between = self.bytes.iter().take_while(|b| b.is_ascii_whitespace() && **b != BEGINS).count();
            self.bytes.drain(..between);
            match self.bytes.first() {
                None => return Ok(None),
                Some(&BEGINS) => self.seen = 1,
                Some(_) => return Err(FrameFault::Outside),
            }
        }
        let Some(end) = self.bytes[self.seen..].iter().position(|b| *b == ENDS) else {
            self.seen = self.bytes.len();
            let endless = self.seen > LONGEST + 1;
            return if endless { Err(FrameFault::Endless) } else { Ok(None) };
        };
        let end = self.seen + end;
        let message = self.bytes[1..end].to_vec();
        self.bytes.drain(..=end);
        self.seen = 0;
        Ok(Some(message))
    }
}

/// A message in its frame.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 3);
    out.push(BEGINS);
    out.extend_from_slice(message);
    out.extend([ENDS, b'\r']);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frames: &mut Frames) -> Result<Vec<Vec<u8>>, FrameFault> {
        let mut out = Vec::new();
        while let Some(message) = frames.next()? {
            out.push(message);
        }
        Ok(out)
    }

    #[test]
    fn messages_are_found_however_their_bytes_come() {
        let stream =
            [framed(b"one"), b"\n".to_vec(), framed(b"two"), b"\x0bthree\x1c".to_vec(), framed(b"four")]
                .concat();
        for size in 1..=stream.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in stream.chunks(size) {
                frames.push(piece);
                found.extend(all(&mut frames).unwrap());
            }
            assert_eq!(found, [&b"one"[..], b"two", b"three", b"four"], "{size}");
        }
    }

    #[test]
    fn what_is_no_frame_or_has_no_end_ends_the_connection() {
        let mut frames = Frames::default();
        frames.push(b"GET / HTTP/1.1\r\n");
        assert_eq!(frames.next(), Err(FrameFault::Outside));
        let mut frames = Frames::default();
        frames.push(&[BEGINS]);
        frames.push(&vec![b'x'; LONGEST]);
        assert_eq!(frames.next(), Ok(None));
        frames.push(b"x");
        assert_eq!(frames.next(), Err(FrameFault::Endless));
    }
}
