//! The one wake-up of JavaScript: from the core thread through a weak threadsafe function, of which
//! at most one call is pending, and from the event loop when the watched socket is readable.

use crate::uv::{self, Uv};
use daffi_core::node::{BESIDE_BYTES, Line};
use daffi_core::spin::Spin;
use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, sys};
use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A way to ring from any thread. Weak: it does not keep the process alive.
pub fn remote(doorbell: &Function<'_, (), ()>) -> Result<Box<dyn Fn() + Send + Sync>> {
    type Remote = ThreadsafeFunction<(), (), (), Status, false, true>;
    let function: Remote = doorbell.build_threadsafe_function().callee_handled::<false>().weak::<true>().build()?;
    Ok(Box::new(move || {
        // A closed environment refuses; then there is nobody left to wake.
        function.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }))
}

/// Watches one connection at a time and calls the doorbell on its own thread when bytes are there.
pub struct Watcher {
    env: sys::napi_env,
    doorbell: sys::napi_ref,
    resource: sys::napi_async_context,
    watch: *mut Watch,
}

/// What the event loop holds. Freed by the close callback of its handle.
struct Watch {
    uv: Uv,
    handle: *mut c_void,
    /// Keeps the descriptor open until libuv has let go of it.
    line: Arc<Line>,
    env: sys::napi_env,
    doorbell: sys::napi_ref,
    resource: sys::napi_async_context,
    cleanup: sys::napi_async_cleanup_hook_handle,
    stopped: bool,
    event_loop: *mut c_void,
    spin: Spin,
}

impl Watcher {
    /// A watcher that calls `doorbell`. Watches nothing yet.
    pub fn new(env: &Env, doorbell: &Function<'_, (), ()>) -> Result<Self> {
        let raw = env.raw();
        let (mut reference, mut resource, mut name) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the calls of Node-API on its own thread, with values of this scope.
        unsafe {
            check_status!(sys::napi_create_reference(raw, doorbell.raw(), 1, &raw mut reference))?;
            check_status!(sys::napi_create_string_utf8(raw, c"daffi:link".as_ptr(), 10, &raw mut name))?;
            check_status!(sys::napi_async_init(raw, ptr::null_mut(), name, &raw mut resource))?;
        }
        Ok(Self { env: raw, doorbell: reference, resource, watch: ptr::null_mut() })
    }

    /// Watches `line` from now on, or nothing. Does nothing when it already does.
    pub fn watch(&mut self, line: Option<Arc<Line>>) {
        // SAFETY: `watch` is null or points to what the close callback has not freed yet.
        let current = unsafe { self.watch.as_ref() }.filter(|watch| !watch.stopped).map(|watch| &watch.line);
        match (current, &line) {
            (None, None) => return,
            (Some(current), Some(line)) if Arc::ptr_eq(current, line) => return,
            _ => self.stop(),
        }
        if let (Some(line), Some(uv), Some(event_loop)) = (line, uv::uv(), uv::event_loop(self.env)) {
            self.start(line, uv, event_loop);
        }
    }

    fn start(&mut self, line: Arc<Line>, uv: Uv, event_loop: *mut c_void) {
        let fd = line.socket.as_raw_fd();
        // SAFETY: the handle is as large as libuv wants it and lives until its close callback; its
        // first field is the user's pointer, as libuv promises. All on the loop's thread.
        unsafe {
            let handle = libc::calloc(1, (uv.handle_size)(uv::POLL));
            if handle.is_null() || (uv.poll_init)(event_loop, handle, fd) != 0 {
                libc::free(handle);
                return;
            }
            let watch = Box::into_raw(Box::new(Watch {
                uv,
                handle,
                line,
                env: self.env,
                doorbell: self.doorbell,
                resource: self.resource,
                cleanup: ptr::null_mut(),
                stopped: false,
                event_loop,
                spin: Spin::new(),
            }));
            *handle.cast::<*mut c_void>() = watch.cast();
            let hook = &raw mut (*watch).cleanup;
            sys::napi_add_async_cleanup_hook(self.env, Some(on_cleanup), watch.cast(), hook);
            (uv.unref)(handle);
            (uv.poll_start)(handle, uv::READABLE, on_readable);
            self.watch = watch;
        }
    }

    fn stop(&mut self) {
        let watch = std::mem::replace(&mut self.watch, ptr::null_mut());
        // SAFETY: not yet freed: `self.watch` is cleared wherever it is closed.
        unsafe { close(watch) };
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: dropped by the finalizer of its handle, on the thread of its environment.
        unsafe {
            sys::napi_async_destroy(self.env, self.resource);
            sys::napi_delete_reference(self.env, self.doorbell);
        }
    }
}

/// Stops and closes once; the close callback frees.
unsafe fn close(watch: *mut Watch) {
    // SAFETY: as the caller promises, null or alive.
    if let Some(watch) = unsafe { watch.as_mut() }
        && !watch.stopped
    {
        watch.stopped = true;
        // SAFETY: the handle is initialised and closed once.
        unsafe {
            (watch.uv.poll_stop)(watch.handle);
            (watch.uv.close)(watch.handle, on_closed);
        }
    }
}

unsafe extern "C" fn on_closed(handle: *mut c_void) {
    // SAFETY: libuv calls this once, last; nobody else holds the watch any more.
    unsafe {
        let watch = Box::from_raw(*handle.cast::<*mut Watch>());
        sys::napi_remove_async_cleanup_hook(watch.cleanup);
        libc::free(handle);
    }
}

/// The environment ends while the socket is watched: a handle left open would abort the process.
unsafe extern "C" fn on_cleanup(_: sys::napi_async_cleanup_hook_handle, watch: *mut c_void) {
    // SAFETY: the hook is removed when the watch is freed.
    unsafe { close(watch.cast()) };
}

unsafe extern "C" fn on_readable(handle: *mut c_void, _status: c_int, _events: c_int) {
    // SAFETY: called by the loop on its thread while the handle is open; the watch is freed by the loop alone, later. The
    // doorbell may close it meanwhile, so no reference to it is held across the call.
    unsafe {
        let watch = *handle.cast::<*mut Watch>();
        let turn = Instant::now();
        (*watch).spin.woken(turn);
        loop {
            let has_news = BESIDE.with_borrow_mut(|beside| (*watch).line.read_pieces(beside));
            if has_news && !ring(watch) || (*watch).stopped || (*watch).line.has_ended() {
                return;
            }
            if turn.elapsed() >= TURN {
                break;
            }
            let Watch { line, spin, .. } = &mut *watch;
            if !spin.wait(|| line.socket.is_readable()) {
                break;
            }
            // What JavaScript starts now counts from now.
            ((*watch).uv.update_time)((*watch).event_loop);
        }
        (*watch).spin.sleeps(Instant::now());
    }
}

thread_local! {
    /// For what comes between pieces of big payloads, whose reading needs no JavaScript.
    static BESIDE: RefCell<Vec<u8>> = RefCell::new(vec![0; BESIDE_BYTES]);
}

/// Calls the doorbell. False when JavaScript cannot be called any more.
unsafe fn ring(watch: *mut Watch) -> bool {
    // SAFETY: as the caller promises, alive and on its thread.
    unsafe {
        let (env, doorbell, resource) = ((*watch).env, (*watch).doorbell, (*watch).resource);
        let mut scope = ptr::null_mut();
        if sys::napi_open_handle_scope(env, &raw mut scope) != sys::Status::napi_ok {
            return false;
        }
        let (mut function, mut receiver, mut result) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        sys::napi_get_reference_value(env, doorbell, &raw mut function);
        sys::napi_get_global(env, &raw mut receiver);
        let mut is_alive = !function.is_null();
        if is_alive {
            let status = sys::napi_make_callback(env, resource, receiver, function, 0, ptr::null(), &raw mut result);
            if status == sys::Status::napi_pending_exception {
                // The doorbell catches; what comes here is from a tick it set off.
                let mut exception = ptr::null_mut();
                sys::napi_get_and_clear_last_exception(env, &raw mut exception);
                sys::napi_fatal_exception(env, exception);
            }
            is_alive = status == sys::Status::napi_ok || status == sys::Status::napi_pending_exception;
        }
        sys::napi_close_handle_scope(env, scope);
        is_alive
    }
}

/// How long the event loop may be kept by messages that follow each other closely.
const TURN: Duration = Duration::from_millis(1);
