//! Bytes of a connection → whole frames. Small ones are lent from the buffer, big ones are read to where they stay.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crate::frame::Header;
use crate::socket::Socket;

/// Holds many small frames, so that one system call reads a whole batch.
const BUFFER_BYTES: usize = 256 * 1024;
/// Longest frame that is lent from the buffer.
pub const SMALL_BYTES: usize = 64 * 1024;

/// Big frames that were written, for the next ones to be read into: fresh memory would be cleared first.
pub type Pool = Rc<RefCell<Vec<Vec<u8>>>>;

/// Takes frames off a connection.
pub struct Reader {
    /// Where big frames come from.
    pub pool: Pool,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Reader {
    /// An empty reader.
    pub fn new() -> Self {
        Self { pool: Pool::default(), buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    /// Reads once and hands every whole small frame to `take`; returns early with a big frame, header included.
    pub async fn batch(&mut self, socket: &Socket, mut take: impl FnMut(Header, &[u8])) -> io::Result<Option<Vec<u8>>> {
        if let Some(big) = self.walk(socket, &mut take).await? {
            return Ok(Some(big));
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let count = socket.read(self.buffer.get_mut(self.end..).unwrap_or_default()).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.end += count;
        self.walk(socket, &mut take).await
    }

    async fn walk(&mut self, socket: &Socket, take: &mut impl FnMut(Header, &[u8])) -> io::Result<Option<Vec<u8>>> {
        loop {
            let held = self.buffer.get(self.start..self.end).unwrap_or_default();
            let Some(header) = Header::read(held) else { return Ok(None) };
            let length = header.frame_len();
            if length > SMALL_BYTES {
                let mut frame = self.pool.borrow_mut().pop().unwrap_or_default();
                frame.resize(length, 0);
                let filled = length.min(held.len());
                for (place, byte) in frame.iter_mut().zip(held) {
                    *place = *byte;
                }
                self.start += filled;
                read_all(socket, frame.get_mut(filled..).unwrap_or_default()).await?;
                return Ok(Some(frame));
            }
            let Some(frame) = held.get(..length) else { return Ok(None) };
            self.start += length;
            let body = frame.get(crate::frame::HEADER_BYTES..).unwrap_or_default();
            take(header, body.get(..header.body_len as usize).unwrap_or_default());
        }
    }
}

async fn read_all(socket: &Socket, mut rest: &mut [u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let count = socket.read(rest).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        rest = rest.get_mut(count..).unwrap_or_default();
    }
    Ok(())
}
