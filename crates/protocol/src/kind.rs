//! What a frame is for, and the flags that qualify it.

/// The kind of a frame, byte 4 of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Node to controller, first: who it is. Body: [`Hello`](crate::control::Hello).
    Hello = 1,
    /// Controller to node: a nonce to prove against. Body:
    /// [`Challenge`](crate::control::Challenge).
    Challenge = 2,
    /// Node to controller: its proof. Body: [`Proof`](crate::control::Proof).
    Proof = 3,
    /// Controller to node: its proof, and the state to start from. Body:
    /// [`Welcome`](crate::control::Welcome).
    Welcome = 4,
    /// Either side: why it closes now. Body: [`Refused`](crate::control::Refused).
    Refused = 5,
    /// Either side, when it has sent nothing for a heartbeat. No body; answered by `Pong`.
    Ping = 6,
    /// The answer to a `Ping`. No body.
    Pong = 7,
    /// Either side: takes no new calls, finishes what runs, then closes. Body:
    /// [`Goodbye`](crate::control::Goodbye).
    Goodbye = 8,
    /// Node to controller: callbacks it now exposes or no longer exposes. Body:
    /// [`Register`](crate::control::Register).
    Register = 9,
    /// Controller to node: what changed among the nodes. Body:
    /// [`RegistryChange`](crate::control::RegistryChange).
    RegistryChange = 10,
    /// Controller to node: it should stop; the process of the controller wants all to. Body:
    /// [`Goodbye`](crate::control::Goodbye).
    Stop = 11,
    /// Either side: the memory of which `callback` is the number has been read and may be used again. With 0, first:
    /// payloads may come as memory from now on. No body.
    Returned = 12,
    /// A call of a callback. `callback` is its id, the payload its arguments.
    Request = 16,
    /// The outcome of a call. `callback` is 0 or an [`ErrorCode`](crate::ErrorCode).
    Response = 17,
    /// The caller no longer wants the outcome of a call. No body.
    Cancel = 18,
    /// A call of a function whose source travels with it. The payload is opaque here too.
    Transfer = 19,
    /// A further piece of a request or transfer that was announced as fragmented.
    RequestPart = 20,
    /// A further piece of a response that was announced as fragmented.
    ResponsePart = 21,
    /// Caller to callee, on a streamed call: the next items of its source. `callback` is the number
    /// of the first, from 0; `LAST` says that the source has ended.
    CallerItems = 22,
    /// Callee to caller, on a streamed call: the next items of the outcome, numbered as above.
    CalleeItems = 23,
    /// Caller to callee: how many items of the outcome may be sent in all, in `callback`. No body.
    CallerCredit = 24,
    /// Callee to caller: how many items of the source may be sent in all, in `callback`. No body.
    CalleeCredit = 25,
    /// A further piece of `CallerItems` that were announced as fragmented.
    CallerItemsPart = 26,
    /// A further piece of `CalleeItems` that were announced as fragmented.
    CalleeItemsPart = 27,
}

impl Kind {
    /// The kind with this number, `None` for a number this version does not know.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Hello,
            2 => Self::Challenge,
            3 => Self::Proof,
            4 => Self::Welcome,
            5 => Self::Refused,
            6 => Self::Ping,
            7 => Self::Pong,
            8 => Self::Goodbye,
            9 => Self::Register,
            10 => Self::RegistryChange,
            11 => Self::Stop,
            12 => Self::Returned,
            16 => Self::Request,
            17 => Self::Response,
            18 => Self::Cancel,
            19 => Self::Transfer,
            20 => Self::RequestPart,
            21 => Self::ResponsePart,
            22 => Self::CallerItems,
            23 => Self::CalleeItems,
            24 => Self::CallerCredit,
            25 => Self::CalleeCredit,
            26 => Self::CallerItemsPart,
            27 => Self::CalleeItemsPart,
            _ => return None,
        })
    }

    /// Whether frames of this kind are further pieces of one that was announced as fragmented.
    #[must_use]
    pub const fn is_part(self) -> bool {
        matches!(self, Self::RequestPart | Self::ResponsePart | Self::CallerItemsPart | Self::CalleeItemsPart)
    }

    /// What the further pieces of a fragmented frame of this kind are sent as.
    #[must_use]
    pub const fn part(self) -> Self {
        match self {
            Self::Response => Self::ResponsePart,
            Self::CallerItems => Self::CallerItemsPart,
            Self::CalleeItems => Self::CalleeItemsPart,
            _ => Self::RequestPart,
        }
    }
}

/// The bits of byte 5 of a header.
pub mod flags {
    /// On a request: no response is wanted, and none may be sent.
    pub const NO_REPLY: u8 = 1;
    /// On a request as the callee sees it: the controller attests that caller and callee belong to
    /// one user on one machine. Cleared on whatever a node sends.
    pub const LOCAL: u8 = 1 << 1;
    /// The payload is MessagePack followed by attachments (see [`crate::extension`]).
    pub const ATTACHED: u8 = 1 << 2;
    /// The payload continues in parts; the total is in the extension.
    pub const FRAGMENTED: u8 = 1 << 3;
    /// On a part: the last one. On a fragmented frame: it holds the whole payload, no part follows.
    pub const LAST: u8 = 1 << 4;
    /// On a request: the outcome may come as items, ended by the response.
    pub const STREAM: u8 = 1 << 5;
    /// On a request with `STREAM`: items of the caller follow, there are no other arguments.
    pub const SOURCE: u8 = 1 << 6;
    /// On a part: it is the only one, and has no body. The payload is the memory whose descriptor came with it, of which
    /// `callback` is the number.
    pub const MEMORY: u8 = SOURCE;
    /// Never on the wire, on items: they were refused on arrival, and `callback` is the error code.
    pub const REFUSED: u8 = NO_REPLY;
    /// Never on the wire: the body lies outside the completion buffer of a node's link, and the
    /// payload in it is the token to take it with.
    pub const BIG: u8 = 1 << 7;
}
