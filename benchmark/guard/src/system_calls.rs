//! Counts the system calls that read or write a descriptor.
//!
//! On Linux the functions of the C library for them are defined here anew: a program's own definition stands before
//! that of a library. Elsewhere there is no count.

#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many there were since the start, of any thread; `None` where they are not counted.
#[cfg(target_os = "linux")]
pub fn count() -> Option<u64> {
    Some(COUNT.load(Relaxed))
}

/// How many there were since the start, of any thread; `None` where they are not counted.
#[cfg(not(target_os = "linux"))]
pub fn count() -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
static COUNT: AtomicU64 = AtomicU64::new(0);

#[cfg(target_os = "linux")]
mod counted {
    use super::COUNT;
    use libc::{c_int, c_void, iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};
    use std::ptr::null_mut;
    use std::sync::atomic::Ordering::Relaxed;

    macro_rules! counted {
        ($name:ident($($argument:ident: $type:ty),*) = $call:ident($($given:expr),*)) => {
            // SAFETY: the same signature and the same meaning as the function that it stands before.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $type),*) -> ssize_t {
                COUNT.fetch_add(1, Relaxed);
                // SAFETY: what the caller promises; sets `errno` as the C library does.
                unsafe { libc::syscall(libc::$call, $($given),*) as ssize_t }
            }
        };
    }

    counted!(read(fd: c_int, to: *mut c_void, length: size_t) = SYS_read(fd, to, length));
    counted!(readv(fd: c_int, to: *const iovec, count: c_int) = SYS_readv(fd, to, count));
    counted!(recv(fd: c_int, to: *mut c_void, length: size_t, flags: c_int) =
        SYS_recvfrom(fd, to, length, flags, null_mut::<c_void>(), null_mut::<c_void>()));
    counted!(recvfrom(
        fd: c_int, to: *mut c_void, length: size_t, flags: c_int, name: *mut sockaddr, size: *mut socklen_t) =
        SYS_recvfrom(fd, to, length, flags, name, size));
    counted!(recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) = SYS_recvmsg(fd, message, flags));
    counted!(write(fd: c_int, from: *const c_void, length: size_t) = SYS_write(fd, from, length));
    counted!(writev(fd: c_int, from: *const iovec, count: c_int) = SYS_writev(fd, from, count));
    counted!(send(fd: c_int, from: *const c_void, length: size_t, flags: c_int) =
        SYS_sendto(fd, from, length, flags, null_mut::<c_void>(), 0 as size_t));
    counted!(sendto(
        fd: c_int, from: *const c_void, length: size_t, flags: c_int, name: *const sockaddr, size: socklen_t) =
        SYS_sendto(fd, from, length, flags, name, size));
    counted!(sendmsg(fd: c_int, message: *const msghdr, flags: c_int) = SYS_sendmsg(fd, message, flags));
}
