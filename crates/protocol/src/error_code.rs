//! The one table of error codes: the wire, Rust and JavaScript read it.

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $code:literal;)*) => {
        /// Why a call or a connection failed. The number travels in the `callback` field of a
        /// response and in [`Refused`](crate::control::Refused); the text is `error.code` in
        /// JavaScript.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $number,)*
        }

        impl ErrorCode {
            /// All of them, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code with this number, `None` for a number this version does not know.
            #[must_use]
            pub const fn from_u32(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// `error.code` in JavaScript: stable, unlike the message.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

error_codes! {
    /// The callback threw; the payload is its error.
    RemoteError = 1, "ERR_REMOTE_CALL";
    /// No node that may be asked exposes the callback. Not executed.
    NoCandidate = 2, "ERR_NO_CANDIDATE";
    /// The node the call is pinned to is not connected. Not executed.
    NoSuchNode = 3, "ERR_NO_SUCH_NODE";
    /// The node was lost while it had the call. Perhaps executed.
    NodeLost = 4, "ERR_NODE_LOST";
    /// A bound was reached on the way. Not executed.
    Overloaded = 5, "ERR_OVERLOADED";
    /// The node takes no new calls, it is stopping. Not executed.
    Draining = 6, "ERR_DRAINING";
    /// The payload is larger than the receiver accepts.
    PayloadTooLarge = 7, "ERR_PAYLOAD_TOO_LARGE";
    /// The payload is no sound MessagePack, too deep, or promises more than it holds.
    PayloadRejected = 8, "ERR_PAYLOAD_REJECTED";
    /// A value cannot travel; the payload is a text that names its path.
    NotSerializable = 9, "ERR_NOT_SERIALIZABLE";
    /// The node does not run functions sent by this peer. Not executed.
    TransferNotAllowed = 10, "ERR_TRANSFER_NOT_ALLOWED";
    /// The node does not hold the source with this hash; send it along. Not executed.
    UnknownSource = 11, "ERR_UNKNOWN_SOURCE";
    /// The proof of the handshake does not hold, or the peer belongs to another user.
    Unauthorized = 12, "ERR_UNAUTHORIZED";
    /// A connected node has this name.
    NameInUse = 13, "ERR_NAME_IN_USE";
    /// A name is empty, too long, or holds control characters.
    InvalidName = 14, "ERR_INVALID_NAME";
    /// The peer speaks another version of the layout.
    VersionMismatch = 15, "ERR_VERSION_MISMATCH";
    /// The peer broke the rules of the protocol.
    Protocol = 16, "ERR_PROTOCOL";
    /// A frame announces more bytes than a frame may have.
    FrameTooLarge = 17, "ERR_FRAME_TOO_LARGE";
    /// The handshake did not end in time.
    HandshakeTimeout = 18, "ERR_HANDSHAKE_TIMEOUT";
    /// Not a byte came for the dead interval.
    HeartbeatLost = 19, "ERR_HEARTBEAT_LOST";
    /// The connection to the controller broke or was closed.
    ConnectionLost = 20, "ERR_CONNECTION_LOST";
    /// The controller is stopping.
    ControllerStopped = 21, "ERR_CONTROLLER_STOPPED";
    /// Another socket holds the address.
    AddressInUse = 22, "ERR_ADDRESS_IN_USE";
    /// The address cannot be used: path too long, folder of another user, no such host.
    BadAddress = 23, "ERR_BAD_ADDRESS";
    /// The peer took nothing for the stall interval, or more is queued for it than allowed.
    SlowConsumer = 24, "ERR_SLOW_CONSUMER";
    /// Too many connections, callbacks or calls of one peer.
    QuotaExceeded = 25, "ERR_QUOTA_EXCEEDED";
    /// No connection within the connect timeout.
    ConnectTimeout = 26, "ERR_CONNECT_TIMEOUT";
    /// The caller cancelled the call.
    Cancelled = 27, "ERR_CANCELLED";
    /// Arguments or result do not fit the schema of the callback; the payload lists what is wrong.
    Validation = 28, "ERR_VALIDATION";
    /// The callback is a generator: its result comes as a stream or not at all. Not executed.
    StreamRequired = 29, "ERR_STREAM_REQUIRED";
    /// The worker thread that ran the callback ended.
    WorkerLost = 30, "ERR_WORKER_LOST";
    /// The node does not do this for this caller. Not executed.
    NotPermitted = 31, "ERR_NOT_PERMITTED";
    /// The peer floods the connection with frames that are no calls.
    EnhanceYourCalm = 32, "ERR_ENHANCE_YOUR_CALM";
    /// The callback takes another number of arguments; the payload says which. Not executed.
    ArgumentCount = 33, "ERR_ARGUMENT_COUNT";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number_and_no_text_stands_twice() {
        let mut texts = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_u32(*code as u32), Some(*code));
            assert!(texts.insert(code.code()), "{} stands twice", code.code());
        }
        assert_eq!(ErrorCode::from_u32(0), None);
    }
}
