//! The one wake-up of JavaScript: from the core thread through a weak threadsafe function, of which
//! at most one call is pending, and from the event loop when the watched socket is readable.

use crate::uv::{self, Uv};
use daffi_core::node::{BESIDE_BYTES, Line};
use daffi_core::spin::Spin;
use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, sys};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;
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
    watched: Rc<Watched>,
    watch: Option<Rc<Watch>>,
}

/// What the event loop holds, until the close callback of its handle.
struct Watch {
    uv: Uv,
    handle: *mut c_void,
    /// Keeps the descriptor open until libuv has let go of it.
    line: Arc<Line>,
    watched: Rc<Watched>,
    doorbell: sys::napi_ref,
    resource: sys::napi_async_context,
    stopped: Cell<bool>,
    event_loop: *mut c_void,
    spin: RefCell<Spin>,
}

/// What the event loop holds for one environment, which waits for it when it ends: a handle left open would abort the
/// process. One hook for all of it that stays to the end, since Node gives the loop an immediate for each that is removed,
/// and a program that asks after its stop what is left would be told of it.
struct Watched {
    env: sys::napi_env,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    ends: Cell<bool>,
    /// By their handles.
    open: RefCell<HashMap<*mut c_void, Rc<Watch>>>,
}

impl Watcher {
    /// A watcher that calls `doorbell`. Watches nothing yet.
    pub fn new(env: &Env, doorbell: &Function<'_, (), ()>) -> Result<Self> {
        let raw = env.raw();
        let (mut reference, mut resource, mut name) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let watched = Watched::of(raw)?;
        // SAFETY: the calls of Node-API on its own thread, with values of this scope.
        unsafe {
            check_status!(sys::napi_create_reference(raw, doorbell.raw(), 1, &raw mut reference))?;
            check_status!(sys::napi_create_string_utf8(raw, c"daffi:link".as_ptr(), 10, &raw mut name))?;
            check_status!(sys::napi_async_init(raw, ptr::null_mut(), name, &raw mut resource))?;
        }
        Ok(Self { env: raw, doorbell: reference, resource, watched, watch: None })
    }

    /// Watches `line` from now on, or nothing. Does nothing when it already does.
    pub fn watch(&mut self, line: Option<Arc<Line>>) {
        let current = self.watch.as_ref().filter(|watch| !watch.stopped.get()).map(|watch| &watch.line);
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
        if self.watched.ends.get() {
            return;
        }
        let fd = line.socket.as_raw_fd();
        // SAFETY: the handle is as large as libuv wants it and lives until its close callback; its first field is the
        // user's pointer, as libuv promises: the watch, which is in the list of those open until then. All on the loop's
        // thread.
        unsafe {
            let handle = libc::calloc(1, (uv.handle_size)(uv::POLL));
            if handle.is_null() || (uv.poll_init)(event_loop, handle, fd) != 0 {
                libc::free(handle);
                return;
            }
            let watch = Rc::new(Watch {
                uv,
                handle,
                line,
                watched: Rc::clone(&self.watched),
                doorbell: self.doorbell,
                resource: self.resource,
                stopped: Cell::new(false),
                event_loop,
                spin: RefCell::new(Spin::new()),
            });
            *handle.cast::<*const Watch>() = Rc::as_ptr(&watch);
            self.watched.open.borrow_mut().insert(handle, Rc::clone(&watch));
            (uv.unref)(handle);
            (uv.poll_start)(handle, uv::READABLE, on_readable);
            self.watch = Some(watch);
        }
    }

    fn stop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.close();
        }
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

impl Watch {
    /// Stops and closes once; the close callback frees.
    fn close(&self) {
        if !self.stopped.replace(true) {
            // SAFETY: the handle is initialised and closed once.
            unsafe {
                (self.uv.poll_stop)(self.handle);
                (self.uv.close)(self.handle, on_closed);
            }
        }
    }

    /// Calls the doorbell. False when JavaScript cannot be called any more.
    fn ring(&self) -> bool {
        let env = self.watched.env;
        // SAFETY: the calls of Node-API on its own thread, with values of this scope.
        unsafe {
            let mut scope = ptr::null_mut();
            if sys::napi_open_handle_scope(env, &raw mut scope) != sys::Status::napi_ok {
                return false;
            }
            let (mut function, mut receiver, mut result) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            sys::napi_get_reference_value(env, self.doorbell, &raw mut function);
            sys::napi_get_global(env, &raw mut receiver);
            let mut is_alive = !function.is_null();
            if is_alive {
                let (resource, none) = (self.resource, ptr::null());
                let status = sys::napi_make_callback(env, resource, receiver, function, 0, none, &raw mut result);
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
}

impl Watched {
    /// That of this environment.
    fn of(env: sys::napi_env) -> Result<Rc<Self>> {
        if let Some(watched) = ENVIRONMENTS.with_borrow(|all| all.iter().find(|one| one.env == env).cloned()) {
            return Ok(watched);
        }
        let mut hook = ptr::null_mut();
        let (ends, open) = (Cell::new(false), RefCell::default());
        let watched = Rc::new(Self { env, hook: Cell::new(hook), ends, open });
        // SAFETY: a call of Node-API on its own thread; the list keeps what the hook is given until it is called.
        let status = unsafe {
            let data = Rc::as_ptr(&watched).cast_mut().cast();
            sys::napi_add_async_cleanup_hook(env, Some(on_cleanup), data, &raw mut hook)
        };
        check_status!(status)?;
        watched.hook.set(hook);
        ENVIRONMENTS.with_borrow_mut(|all| all.push(Rc::clone(&watched)));
        Ok(watched)
    }

    /// The environment may go on with its end when nothing is open.
    fn release(&self) {
        if self.ends.get() && self.open.borrow().is_empty() {
            let hook = self.hook.replace(ptr::null_mut());
            if !hook.is_null() {
                // SAFETY: the hook was called and is not removed yet.
                unsafe { sys::napi_remove_async_cleanup_hook(hook) };
            }
        }
    }
}

thread_local! {
    /// Those of this thread: more than one when a program loads the addon more than once.
    static ENVIRONMENTS: RefCell<Vec<Rc<Watched>>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C" fn on_closed(handle: *mut c_void) {
    // SAFETY: libuv calls this once, last, and the watch is in the list of those open until now.
    unsafe {
        let watched = Rc::clone(&(**handle.cast::<*const Watch>()).watched);
        watched.open.borrow_mut().remove(&handle);
        libc::free(handle);
        watched.release();
    }
}

/// The environment ends.
unsafe extern "C" fn on_cleanup(_: sys::napi_async_cleanup_hook_handle, watched: *mut c_void) {
    let found = ENVIRONMENTS.with_borrow_mut(|all| {
        let at = all.iter().position(|one| Rc::as_ptr(one).cast() == watched.cast_const());
        at.map(|at| all.swap_remove(at))
    });
    if let Some(watched) = found {
        watched.ends.set(true);
        // libuv calls back later.
        watched.open.borrow().values().for_each(|watch| watch.close());
        watched.release();
    }
}

unsafe extern "C" fn on_readable(handle: *mut c_void, _status: c_int, _events: c_int) {
    // SAFETY: called by the loop on its thread while the handle is open. The doorbell may close it meanwhile, but the watch is
    // in the list of those open until the loop calls back, later.
    let watch = unsafe { &**handle.cast::<*const Watch>() };
    let turn = Instant::now();
    watch.spin.borrow_mut().woken(turn);
    loop {
        let has_news = BESIDE.with_borrow_mut(|beside| watch.line.read_pieces(beside));
        if has_news && !watch.ring() || watch.stopped.get() || watch.line.has_ended() {
            return;
        }
        if turn.elapsed() >= TURN || !watch.spin.borrow_mut().wait(|| watch.line.socket.is_readable()) {
            break;
        }
        // What JavaScript starts now counts from now.
        // SAFETY: the loop whose callback this is.
        unsafe { (watch.uv.update_time)(watch.event_loop) };
    }
    watch.spin.borrow_mut().sleeps(Instant::now());
}

thread_local! {
    /// For what comes between pieces of big payloads, whose reading needs no JavaScript.
    static BESIDE: RefCell<Vec<u8>> = RefCell::new(vec![0; BESIDE_BYTES]);
}

/// How long the event loop may be kept by messages that follow each other closely.
const TURN: Duration = Duration::from_millis(1);
