//! How long nobody has used the keyboard and the pointer of an X display: the extension for screen savers counts it.

use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::ptr::NonNull;
use std::time::Duration;

type Display = NonNull<c_void>;

/// The answer, as the library has it.
#[repr(C)]
#[derive(Default)]
struct Info {
    window: c_ulong,
    state: c_int,
    kind: c_int,
    til_or_since: c_ulong,
    idle: c_ulong,
    event_mask: c_ulong,
}

type Query = unsafe extern "C" fn(Display, c_ulong, *mut Info) -> c_int;

/// The function that asks.
pub(super) struct Idle(Query);

impl Idle {
    pub(super) fn open() -> Option<Self> {
        // SAFETY: the names end with a zero. The library is never closed.
        let query = unsafe {
            let library = libc::dlopen(c"libXss.so.1".as_ptr(), libc::RTLD_LAZY);
            let name: &CStr = c"XScreenSaverQueryInfo";
            libc::dlsym(NonNull::new(library)?.as_ptr(), name.as_ptr())
        };
        let query = NonNull::new(query)?;
        // SAFETY: the function by this name has this type.
        Some(Self(unsafe {
            std::mem::transmute::<NonNull<c_void>, Query>(query)
        }))
    }

    /// For how long; nothing where the display has no such extension.
    pub(super) fn since(&self, display: Display, root: c_ulong) -> Option<Duration> {
        let mut info = Info::default();
        // SAFETY: the display is open; the answer lives until the call returns.
        let known = unsafe { (self.0)(display, root, &raw mut info) };
        (known != 0).then(|| Duration::from_millis(info.idle))
    }
}
