//! A payload before anybody decodes it: what passes is whole and promises no more than it holds.

use daffi_protocol::prescan::{PrescanError, prescan};

/// # Panics
///
/// When the pre-scan lets pass what it should not.
pub fn check(input: &[u8]) {
    match prescan(input) {
        Ok(()) => {
            let shorter = input.get(..input.len() - 1).unwrap_or_default();
            assert_eq!(prescan(shorter), Err(PrescanError::Truncated), "a part of a whole value passed");
            assert_eq!(prescan(&[input, &[0xc0]].concat()), Err(PrescanError::Trailing), "two values passed as one");
            let nested = [&[0x91][..], input].concat();
            assert!(
                matches!(prescan(&nested), Ok(()) | Err(PrescanError::TooDeep)),
                "a list of a sound value did not pass"
            );
        }
        Err(PrescanError::Trailing) => {
            let whole = (1..input.len().min(65)).any(|end| prescan(input.get(..end).unwrap_or_default()).is_ok());
            assert!(input.len() > 64 || whole, "bytes follow a value that is none");
        }
        Err(_) => {}
    }
}
