//! The window in front of a whole X display, with the keyboard and the pointer to itself.
//!
//! What always holds here: it is said to cover the display only after nothing of what is typed or clicked goes elsewhere; no
//! window manager has a say about it then, for it is none of its windows.
//!
//! The calls go through SDL's own connection: what one connection holds, another one cannot hear.

use std::ffi::{CStr, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use sdl2::sys;

type Display = *mut c_void;
type Grab = unsafe extern "C" fn(Display, c_ulong, c_int, c_int, c_int, c_ulong) -> c_int;
type GrabPointer = unsafe extern "C" fn(
    Display,
    c_ulong,
    c_int,
    c_uint,
    c_int,
    c_int,
    c_ulong,
    c_ulong,
    c_ulong,
) -> c_int;
type Release = unsafe extern "C" fn(Display, c_ulong) -> c_int;
type OfDisplay = unsafe extern "C" fn(Display) -> c_ulong;
type OnWindow = unsafe extern "C" fn(Display, c_ulong) -> c_int;
type SetFocus = unsafe extern "C" fn(Display, c_ulong, c_int, c_ulong) -> c_int;
type Change = unsafe extern "C" fn(Display, c_ulong, c_ulong, *mut Attributes) -> c_int;
type Sync = unsafe extern "C" fn(Display, c_int) -> c_int;

/// The attributes of a window, as Xlib has them.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    background_pixmap: c_ulong,
    background_pixel: c_ulong,
    border_pixmap: c_ulong,
    border_pixel: c_ulong,
    bit_gravity: c_int,
    win_gravity: c_int,
    backing_store: c_int,
    backing_planes: c_ulong,
    backing_pixel: c_ulong,
    save_under: c_int,
    event_mask: c_long,
    do_not_propagate_mask: c_long,
    override_redirect: c_int,
    colormap: c_ulong,
    cursor: c_ulong,
}

/// The bit of [`Attributes::override_redirect`].
const OVERRIDE_REDIRECT: c_ulong = 1 << 9;
/// Neither keyboard nor pointer waits for anybody.
const ASYNC: c_int = 1;
const SUCCESS: c_int = 0;
const NOW: c_ulong = 0;
const TO_PARENT: c_int = 2;
/// Buttons and motion, with which the window works.
const POINTER: c_uint = 1 << 2 | 1 << 3 | 1 << 6;
/// Another program may hold one of them for a moment: a key that is down, a menu that closes.
const TRIES_FOR: Duration = Duration::from_secs(2);
const TRY_EVERY: Duration = Duration::from_millis(20);

/// The window of SDL on its display.
pub(super) struct Cover {
    display: Display,
    window: c_ulong,
    grab_keyboard: Grab,
    grab_pointer: GrabPointer,
    release: [Release; 2],
    root: OfDisplay,
    raise: OnWindow,
    set_focus: SetFocus,
    change: Change,
    sync: Sync,
}

impl Cover {
    /// The window with this number of SDL's, if it is one of an X display.
    pub(super) fn of(window: u32) -> Option<Self> {
        // SAFETY: plain data, for which zero is valid.
        let mut info: sys::SDL_SysWMinfo = unsafe { std::mem::zeroed() };
        // SAFETY: the structure lives until the calls return, and says which version it is of; a number without a window
        // gives null, which is not used.
        let (display, window) = unsafe {
            sys::SDL_GetVersion(&raw mut info.version);
            let window = sys::SDL_GetWindowFromID(window);
            if window.is_null()
                || sys::SDL_GetWindowWMInfo(window, &raw mut info) != sys::SDL_bool::SDL_TRUE
                || info.subsystem != sys::SDL_SYSWM_TYPE::SDL_SYSWM_X11
            {
                return None;
            }
            (info.info.x11.display, info.info.x11.window)
        };
        // SAFETY: the name ends with a zero. The library is the one that SDL has opened, and is never closed.
        let library = unsafe { libc::dlopen(c"libX11.so.6".as_ptr(), libc::RTLD_LAZY) };
        let library = NonNull::new(library)?;
        let find = |name: &CStr| {
            // SAFETY: the library is open, the name ends with a zero.
            NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) })
        };
        // SAFETY: functions of Xlib by these names have these types.
        unsafe {
            Some(Self {
                display: display.cast(),
                window,
                grab_keyboard: std::mem::transmute::<NonNull<c_void>, Grab>(find(
                    c"XGrabKeyboard",
                )?),
                grab_pointer: std::mem::transmute::<NonNull<c_void>, GrabPointer>(find(
                    c"XGrabPointer",
                )?),
                release: [
                    std::mem::transmute::<NonNull<c_void>, Release>(find(c"XUngrabKeyboard")?),
                    std::mem::transmute::<NonNull<c_void>, Release>(find(c"XUngrabPointer")?),
                ],
                root: std::mem::transmute::<NonNull<c_void>, OfDisplay>(find(
                    c"XDefaultRootWindow",
                )?),
                raise: std::mem::transmute::<NonNull<c_void>, OnWindow>(find(c"XRaiseWindow")?),
                set_focus: std::mem::transmute::<NonNull<c_void>, SetFocus>(find(
                    c"XSetInputFocus",
                )?),
                change: std::mem::transmute::<NonNull<c_void>, Change>(find(
                    c"XChangeWindowAttributes",
                )?),
                sync: std::mem::transmute::<NonNull<c_void>, Sync>(find(c"XSync")?),
            })
        }
    }

    /// Takes the keyboard and the pointer, before anything is shown; whether both were to be had.
    pub(super) fn take(&self) -> bool {
        let start = Instant::now();
        // SAFETY: the display is open.
        let root = unsafe { (self.root)(self.display) };
        loop {
            if self.grab(root, true) {
                self.set_managed(false);
                return true;
            }
            if start.elapsed() > TRIES_FOR {
                self.release();
                return false;
            }
            std::thread::sleep(TRY_EVERY);
        }
    }

    /// The window is shown now, or may have lost something since: SDL lets go of what is held when the focus moves, and others
    /// may put a window in front.
    pub(super) fn hold(&self) {
        // SAFETY: the display is open, and the window is there.
        unsafe {
            (self.raise)(self.display, self.window);
            (self.set_focus)(self.display, self.window, TO_PARENT, NOW);
        }
        self.grab(self.window, false);
    }

    /// Gives everything back. The window must not be shown any more.
    pub(super) fn give_back(&self) {
        self.release();
        self.set_managed(true);
    }

    fn grab(&self, window: c_ulong, own_events: bool) -> bool {
        let own = c_int::from(own_events);
        // SAFETY: the display is open, and the window is there; without a cursor and a window to stay in.
        unsafe {
            (self.grab_keyboard)(self.display, window, own, ASYNC, ASYNC, NOW) == SUCCESS
                && (self.grab_pointer)(self.display, window, own, POINTER, ASYNC, ASYNC, 0, 0, NOW)
                    == SUCCESS
        }
    }

    fn release(&self) {
        for release in self.release {
            // SAFETY: the display is open.
            unsafe { release(self.display, NOW) };
        }
        // SAFETY: the same.
        unsafe { (self.sync)(self.display, 0) };
    }

    /// Whether a window manager is asked about it.
    fn set_managed(&self, managed: bool) {
        let mut attributes = Attributes {
            override_redirect: c_int::from(!managed),
            ..Attributes::default()
        };
        // SAFETY: the display is open, the window is there, and the attributes live until the call returns.
        unsafe {
            (self.change)(
                self.display,
                self.window,
                OVERRIDE_REDIRECT,
                &raw mut attributes,
            );
            (self.sync)(self.display, 0);
        }
    }
}
