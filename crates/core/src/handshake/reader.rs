//! Takes frames off a stream one by one, at leisure: a handshake is not the hot path.

use super::refusals::{broken, decode_error, unreadable, version_mismatch};
use crate::error::CoreError;
use crate::transport::Stream;
use daffi_protocol::control::{self, Refused};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{DecodeError, ErrorCode, Header, Kind, PREAMBLE};

/// One side of a stream, and what was read of the other and not taken yet.
pub(super) struct FrameReader<'a> {
    pub(super) stream: &'a Stream,
    /// Read and not taken yet.
    pub(super) buffer: Vec<u8>,
    /// Whether the peer began as a daffi peer does, so that a refusal makes sense to it.
    pub(super) is_daffi: bool,
    /// TLS is done, or there is none.
    pub(super) is_secured: bool,
}

impl<'a> FrameReader<'a> {
    pub(super) const fn new(stream: &'a Stream) -> Self {
        Self { stream, buffer: Vec::new(), is_daffi: false, is_secured: false }
    }

    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), CoreError> {
        // A controller that refuses may have closed already; its refusal is still to be read.
        match self.stream.write_all(bytes).await {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self) -> Result<(), CoreError> {
        let read = loop {
            self.stream.readable().await?;
            // On the stack for the read alone: what is held across a wait is part of the task for as long as that lives.
            let mut chunk = [0; 4096];
            match self.stream.try_read(&mut chunk) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
                Ok(read) => {
                    self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
                    break read;
                }
            }
        };
        if read == 0 {
            return Err(CoreError::new(ErrorCode::ConnectionLost, "The peer closed the connection in the handshake."));
        }
        Ok(())
    }

    /// Takes the preamble off; the first byte that differs ends it, without waiting for the rest.
    pub(super) async fn preamble(&mut self) -> Result<(), CoreError> {
        loop {
            let differs = self.buffer.iter().zip(PREAMBLE).position(|(got, wanted)| *got != wanted);
            if let Some(at) = differs {
                self.is_daffi = at >= VERSION_AT;
                let got = self.buffer.get(at).copied().unwrap_or_default();
                return Err(if at == VERSION_AT { version_mismatch(got) } else { broken("no daffi preamble") });
            }
            if self.buffer.len() >= PREAMBLE.len() {
                self.buffer.drain(..PREAMBLE.len());
                self.is_daffi = true;
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// The next whole frame.
    pub(super) async fn frame(&mut self, limit: u32) -> Result<(Header, Vec<u8>), CoreError> {
        loop {
            if let Some(header) = Header::decode(&self.buffer).map_err(decode_error)? {
                if header.body_len > limit {
                    return Err(decode_error(DecodeError::TooLong(header.body_len)));
                }
                if self.buffer.len() >= header.frame_len() {
                    let rest = self.buffer.split_off(header.frame_len());
                    return Ok((header, std::mem::replace(&mut self.buffer, rest)));
                }
            }
            self.fill().await?;
        }
    }
}

/// The body of a frame that must be `wanted`; a refusal in its place becomes the error it carries.
pub(super) fn body_of(header: Header, raw: &[u8], wanted: Kind) -> Result<&[u8], CoreError> {
    let body = raw.get(HEADER_BYTES..HEADER_BYTES + header.body_len as usize).unwrap_or_default();
    let is_for_node = matches!(wanted, Kind::Challenge | Kind::Welcome);
    if header.kind == Kind::Refused && is_for_node {
        let refused: Refused = control::parse(body).map_err(unreadable)?;
        let code = ErrorCode::from_u32(refused.code).unwrap_or(ErrorCode::Protocol);
        return Err(CoreError::new(code, refused.message));
    }
    if header.kind == wanted { Ok(body) } else { Err(broken(&format!("{:?} where {wanted:?} was due", header.kind))) }
}

/// Where the version stands in the preamble.
pub(super) const VERSION_AT: usize = 6;
