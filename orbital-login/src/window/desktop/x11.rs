//! What SDL does not tell of an X display: the lock of Caps Lock, and the size of the screen as it is now.
//!
//! What always holds here: the library is the one that SDL uses, taken where it is; where there is none, nothing is told.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::ptr::NonNull;

/// The bit that stands for Caps Lock, whatever key it is on.
const LOCK: c_uint = 1 << 1;

type Display = NonNull<c_void>;
type OpenDisplay = unsafe extern "C" fn(*const c_char) -> Option<Display>;
type DefaultRootWindow = unsafe extern "C" fn(Display) -> c_ulong;
type QueryPointer = unsafe extern "C" fn(
    Display,
    c_ulong,
    *mut c_ulong,
    *mut c_ulong,
    *mut c_int,
    *mut c_int,
    *mut c_int,
    *mut c_int,
    *mut c_uint,
) -> c_int;
type GetGeometry = unsafe extern "C" fn(
    Display,
    c_ulong,
    *mut c_ulong,
    *mut c_int,
    *mut c_int,
    *mut c_uint,
    *mut c_uint,
    *mut c_uint,
    *mut c_uint,
) -> c_int;

/// A connection of our own to the display. It is used on the thread that opened it, and stays until the program ends.
pub(super) struct X11 {
    display: Display,
    root: c_ulong,
    query_pointer: QueryPointer,
    get_geometry: GetGeometry,
}

impl X11 {
    pub(super) fn open() -> Option<Self> {
        // SAFETY: the name ends with a zero. The library is never closed.
        let library = unsafe { libc::dlopen(c"libX11.so.6".as_ptr(), libc::RTLD_LAZY) };
        let library = NonNull::new(library)?;
        let find = |name: &CStr| {
            // SAFETY: the library is open, the name ends with a zero.
            NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) })
        };
        // SAFETY: functions of Xlib by these names have these types.
        let (open, root, query_pointer, get_geometry) = unsafe {
            (
                std::mem::transmute::<NonNull<c_void>, OpenDisplay>(find(c"XOpenDisplay")?),
                std::mem::transmute::<NonNull<c_void>, DefaultRootWindow>(find(
                    c"XDefaultRootWindow",
                )?),
                std::mem::transmute::<NonNull<c_void>, QueryPointer>(find(c"XQueryPointer")?),
                std::mem::transmute::<NonNull<c_void>, GetGeometry>(find(c"XGetGeometry")?),
            )
        };
        // SAFETY: without a name it is the display that DISPLAY names.
        let display = unsafe { open(std::ptr::null()) }?;
        Some(Self {
            display,
            // SAFETY: the display is open.
            root: unsafe { root(display) },
            query_pointer,
            get_geometry,
        })
    }

    /// Whether Caps Lock is on.
    pub(super) fn caps(&self) -> bool {
        let (mut root, mut child) = (0, 0);
        let (mut x, mut y, mut in_x, mut in_y) = (0, 0, 0, 0);
        let mut held = 0;
        // SAFETY: the display is open; the numbers live until the call returns.
        unsafe {
            (self.query_pointer)(
                self.display,
                self.root,
                &raw mut root,
                &raw mut child,
                &raw mut x,
                &raw mut y,
                &raw mut in_x,
                &raw mut in_y,
                &raw mut held,
            )
        };
        held & LOCK != 0
    }

    /// The size of the screen.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        let (mut root, mut x, mut y) = (0, 0, 0);
        let (mut width, mut height, mut border, mut depth) = (0, 0, 0, 0);
        // SAFETY: the display is open; the numbers live until the call returns.
        let known = unsafe {
            (self.get_geometry)(
                self.display,
                self.root,
                &raw mut root,
                &raw mut x,
                &raw mut y,
                &raw mut width,
                &raw mut height,
                &raw mut border,
                &raw mut depth,
            )
        };
        (known != 0 && width > 0 && height > 0).then_some((width, height))
    }
}
