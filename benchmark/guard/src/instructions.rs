//! Tells callgrind which instructions to count, and what they were for.
//!
//! A request to valgrind is a sequence of instructions that changes nothing on a processor, and that no compiler makes:
//! without valgrind all of this has no effect. Requests and sequence: `callgrind.h` and `valgrind.h`.

use std::ffi::CString;

/// Has the instructions of `work` counted, beside those counted before.
pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    toggle();
    let done = work();
    toggle();
    done
}

/// Begins to count, or stops: for what is no single function.
pub fn toggle() {
    request(TOGGLE_COLLECT, 0);
}

/// Forgets what was counted, of a warm-up.
pub fn forget() {
    request(ZERO_STATS, 0);
}

/// Hands over what was counted, as `figure` of so many `runs`, and begins anew from 0.
pub fn tell(figure: &str, runs: u32) {
    // A name without a zero byte: it stands in the code.
    let text = CString::new(format!("{figure} {runs}")).unwrap_or_default();
    request(DUMP_STATS_AT, text.as_ptr().expose_provenance());
}

/// `VG_USERREQ_TOOL_BASE('C', 'T')`, from which callgrind counts its requests.
const BASE: usize = 0x4354_0000;
/// `CALLGRIND_ZERO_STATS`
const ZERO_STATS: usize = BASE + 1;
/// `CALLGRIND_TOGGLE_COLLECT`
const TOGGLE_COLLECT: usize = BASE + 2;
/// `CALLGRIND_DUMP_STATS_AT`
const DUMP_STATS_AT: usize = BASE + 3;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn request(request: usize, argument: usize) {
    let block = [request, argument, 0, 0, 0, 0];
    // SAFETY: rotates a register by 128 bits in all and swaps another with itself; under valgrind, which reads `block`
    // and the text that `argument` points to, it gives an answer in rdx.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") block.as_ptr(),
            inout("rdx") 0_usize => _,
            out("rdi") _,
            options(nostack),
        );
    }
}

/// Elsewhere other instructions would be counted, for which there are no limits.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn request(_request: usize, _argument: usize) {}
