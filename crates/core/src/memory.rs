//! Memory for big payloads.

/// An empty buffer for `bytes`, in pages as large as the system has them: filling a fresh one is mostly the time of its
/// page faults (64 MiB: 38 ms in pages of 4 KiB, 15 ms in those of 2 MiB).
///
/// `None` when there is no memory for it.
pub(crate) fn buffer_for(bytes: usize) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).ok()?;
    if bytes >= HUGE_FROM_BYTES {
        advise(&mut buffer);
    }
    Some(buffer)
}

#[cfg(target_os = "linux")]
fn advise(buffer: &mut Vec<u8>) {
    let spare = buffer.spare_capacity_mut();
    let skipped = spare.as_ptr().align_offset(PAGE_BYTES);
    let Some(pages) = spare.get_mut(skipped..) else { return };
    let length = pages.len() / PAGE_BYTES * PAGE_BYTES;
    // SAFETY: whole pages of memory that is ours. It is advice: contents and rights stay, a refusal changes nothing.
    unsafe { libc::madvise(pages.as_mut_ptr().cast(), length, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &mut Vec<u8>) {}

/// Below, rounding up to whole huge pages costs more than it gives.
const HUGE_FROM_BYTES: usize = 4 * 1024 * 1024;

/// What advice is given in; larger pages are a multiple.
#[cfg(target_os = "linux")]
const PAGE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_the_capacity_asked_for_and_takes_what_it_is_for() {
        for bytes in [0, 1, PAGE_BYTES, HUGE_FROM_BYTES, HUGE_FROM_BYTES + 12_345] {
            let mut buffer = buffer_for(bytes).unwrap();
            assert!(buffer.is_empty() && buffer.capacity() >= bytes);
            buffer.resize(bytes, 7);
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn more_than_there_is_gives_none() {
        assert!(buffer_for(isize::MAX as usize).is_none());
    }
}
