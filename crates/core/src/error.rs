//! The one error of starting, connecting and shaking hands.

use daffi_protocol::control::{self, Refused};
use daffi_protocol::{ErrorCode, Kind};
use std::io;

/// Why a controller did not start or a connection did not come about.
///
/// `code` is stable and decides what a program does; `message` says what was tried, what happened
/// and what to do, and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CoreError {
    /// What a program matches on.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl CoreError {
    /// An error of this code and text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The frame that tells a peer so, before it is closed.
    pub(crate) fn refusal(&self) -> Vec<u8> {
        let refused = Refused { code: self.code as u32, message: self.message.clone() };
        // A struct of a number and a text is always MessagePack.
        control::frame(Kind::Refused, &refused).unwrap_or_default()
    }

    /// What `action` met: keeps a `CoreError` that travels inside `error`, else wraps it.
    pub fn from_io(code: ErrorCode, action: &str, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::new(code, format!("{action}: {error}.")),
        }
    }
}

impl From<CoreError> for io::Error {
    /// Carries the error through an `io::Result`; [`CoreError::from_io`] takes it out again.
    fn from(error: CoreError) -> Self {
        let kind = match error.code {
            ErrorCode::Unauthorized => io::ErrorKind::PermissionDenied,
            ErrorCode::AddressInUse => io::ErrorKind::AddrInUse,
            ErrorCode::BadAddress => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<io::Error> for CoreError {
    fn from(error: io::Error) -> Self {
        Self::from_io(ErrorCode::ConnectionLost, "The connection failed", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_back_whole_from_an_io_error() {
        let error = CoreError::new(ErrorCode::Unauthorized, "no");
        let io_error = io::Error::from(error.clone());
        assert_eq!(io_error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(CoreError::from(io_error), error);
    }

    #[test]
    fn a_plain_io_error_is_a_lost_connection_that_names_the_cause() {
        let error = CoreError::from(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(error.code, ErrorCode::ConnectionLost);
        assert!(error.message.contains("refused"), "{error}");
    }
}
