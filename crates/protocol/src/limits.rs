//! Every bound of the wire, with its unit and its reason.

/// Bytes of a header: a multiple of 8, so that bodies are aligned and JavaScript can read the
/// fields through one `Uint32Array`.
pub const HEADER_BYTES: usize = 24;

/// Largest body of one frame. A fragment plus its extension fits; a larger payload is cut, so that
/// small frames pass between its parts and nobody reserves more than this on a peer's word.
pub const MAX_FRAME_BODY_BYTES: u32 = FRAGMENT_BYTES + MAX_EXTENSION_BYTES as u32;

/// Payload bytes of one fragment: large enough that a syscall moves a socket buffer's worth, small
/// enough that a small call waits well under a millisecond behind it.
pub const FRAGMENT_BYTES: u32 = 256 * 1024;

/// Largest extension of a frame: 256 attachments of 8 bytes each and the fixed entries.
pub const MAX_EXTENSION_BYTES: u16 = 4096;

/// Largest frame before the handshake has ended (RELIABILITY 3.3, `preAuthFrameMax`).
pub const MAX_HANDSHAKE_BODY_BYTES: u32 = 8 * 1024;

/// Payloads above this leave the buffers between JavaScript and Rust and travel in fragments, or as memory. Below it
/// copies cost less than a way of their own.
pub const BIG_PAYLOAD_BYTES: u32 = 160 * 1024;

/// Payloads from this size on may go as memory: at half of it passing a descriptor costs more than it saves.
pub const MEMORY_PAYLOAD_BYTES: u64 = 256 * 1024;

/// Where a payload begins in memory. A processor may copy seven times slower to a place whose offset in its page is less than
/// 32 bytes ahead of that of its source; what an allocator gives begins 16 bytes behind that of a page.
pub const MEMORY_START: u64 = 64;

/// Most bytes of memory that one side of a connection lends, what waits to be used again included: four of the largest payloads.
pub const MEMORY_BYTES: u64 = 272 * 1024 * 1024;

/// Most payloads that are lent at once on a connection; each is a descriptor.
pub const MAX_LOANS: usize = 64;

/// Default for the largest payload of one call (RELIABILITY 3.3, `maxMessage`).
pub const MAX_PAYLOAD_BYTES: u64 = 64 * 1024 * 1024;

/// Most attachments of one payload; what is beyond is encoded in line.
pub const MAX_ATTACHMENTS: usize = 256;

/// Deepest nesting of containers in a payload (RELIABILITY C11).
pub const MAX_DEPTH: usize = 64;

/// Most containers in a payload (RELIABILITY C11).
pub const MAX_CONTAINERS: usize = 1_000_000;

/// Longest name of a node or callback in bytes of UTF-8 (RELIABILITY 3.2).
pub const MAX_NAME_BYTES: usize = 128;

/// Most calls of one node that may be under way at once, so a peer's slots cannot grow a table of
/// the controller without bound.
pub const MAX_SLOTS: u32 = 1 << 20;

/// Most callbacks one node may expose.
pub const MAX_CALLBACKS: usize = 100_000;
