//! Super+L on an X display, whichever program has the keyboard.
//!
//! What always holds here: the connection is used on the thread that opened it alone, and of what is typed nothing but this key
//! arrives here. A window manager that has the key already keeps it: what it does is that one's to say then.

use std::ffi::{CStr, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr::NonNull;

use super::{DefaultRootWindow, Display, Flush, OpenDisplay};

type CodeOf = unsafe extern "C" fn(Display, c_ulong) -> u8;
type GrabKey = unsafe extern "C" fn(Display, c_int, c_uint, c_ulong, c_int, c_int, c_int) -> c_int;
type NextEvent = unsafe extern "C" fn(Display, *mut XEvent) -> c_int;
type Ungrab = unsafe extern "C" fn(Display, c_ulong) -> c_int;
type OnError = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type SetOnError = unsafe extern "C" fn(Option<OnError>) -> Option<OnError>;

/// An event: its kind first, and room for any.
#[repr(C)]
union XEvent {
    kind: c_int,
    room: [c_long; 24],
}

const KEY_PRESS: c_int = 2;
const L: c_ulong = b'l' as c_ulong;
const SUPER: c_uint = 1 << 6;
/// Locks that may be on besides: Caps Lock, Num Lock, both.
const BESIDES: [c_uint; 4] = [0, 1 << 1, 1 << 4, 1 << 1 | 1 << 4];
const ASYNC: c_int = 1;
const NOW: c_ulong = 0;

/// An error ends the program otherwise, and the one that is expected here is that the key is another program's.
unsafe extern "C" fn no_matter(_: *mut c_void, _: *mut c_void) -> c_int {
    0
}

/// Calls `pressed` on a thread of its own whenever the key is pressed. Nothing happens where it cannot be had.
pub(in crate::window::desktop) fn watch(pressed: impl Fn() + Send + 'static) {
    let thread = std::thread::Builder::new().name("lock-key".to_owned());
    // Without it there are other ways to lock.
    let _ = thread.spawn(move || run(&pressed));
}

fn run(pressed: &dyn Fn()) -> Option<()> {
    // SAFETY: the name ends with a zero. The library is never closed.
    let library = unsafe { libc::dlopen(c"libX11.so.6".as_ptr(), libc::RTLD_LAZY) };
    let library = NonNull::new(library)?;
    let find = |name: &CStr| {
        // SAFETY: the library is open, the name ends with a zero.
        NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) })
    };
    // SAFETY: functions of Xlib by these names have these types.
    let (open, root, code_of, grab_key, next_event, ungrab, flush, set_on_error) = unsafe {
        (
            std::mem::transmute::<NonNull<c_void>, OpenDisplay>(find(c"XOpenDisplay")?),
            std::mem::transmute::<NonNull<c_void>, DefaultRootWindow>(find(c"XDefaultRootWindow")?),
            std::mem::transmute::<NonNull<c_void>, CodeOf>(find(c"XKeysymToKeycode")?),
            std::mem::transmute::<NonNull<c_void>, GrabKey>(find(c"XGrabKey")?),
            std::mem::transmute::<NonNull<c_void>, NextEvent>(find(c"XNextEvent")?),
            std::mem::transmute::<NonNull<c_void>, Ungrab>(find(c"XUngrabKeyboard")?),
            std::mem::transmute::<NonNull<c_void>, Flush>(find(c"XFlush")?),
            std::mem::transmute::<NonNull<c_void>, SetOnError>(find(c"XSetErrorHandler")?),
        )
    };
    // SAFETY: the handler touches nothing.
    unsafe { set_on_error(Some(no_matter)) };
    // SAFETY: without a name it is the display that DISPLAY names.
    let display = unsafe { open(std::ptr::null()) }?;
    // SAFETY: the display is open.
    let (root, code) = unsafe { (root(display), code_of(display, L)) };
    if code == 0 {
        return None;
    }
    for besides in BESIDES {
        // SAFETY: the display is open.
        unsafe { grab_key(display, code.into(), SUPER | besides, root, 0, ASYNC, ASYNC) };
    }
    loop {
        let mut event = XEvent { room: [0; 24] };
        // SAFETY: there is room for any event, whose kind comes first. The display is open; one that goes away ends the program,
        // as it does on the window's connection.
        let kind = unsafe {
            next_event(display, &raw mut event);
            event.kind
        };
        if kind == KEY_PRESS {
            // The key holds the keyboard while it is down, which the window is to have.
            // SAFETY: the display is open.
            unsafe {
                ungrab(display, NOW);
                flush(display);
            }
            pressed();
        }
    }
}
