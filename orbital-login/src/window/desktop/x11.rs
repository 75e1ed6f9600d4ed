//! The facts that SDL does not tell of an X display: the lock of Caps Lock, the size of the screen as it is now, the keyboard
//! layouts, and how long nobody has used it.
//!
//! What always holds here: the library is the one that SDL uses, taken where it is; where there is none, nothing is told.

mod idle;
mod lock_key;

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use self::idle::Idle;
pub(super) use self::lock_key::watch as watch_lock_key;

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

type InternAtom = unsafe extern "C" fn(Display, *const c_char, c_int) -> c_ulong;
type GetWindowProperty = unsafe extern "C" fn(
    Display,
    c_ulong,
    c_ulong,
    c_long,
    c_long,
    c_int,
    c_ulong,
    *mut c_ulong,
    *mut c_int,
    *mut c_ulong,
    *mut c_ulong,
    *mut *mut u8,
) -> c_int;
type Free = unsafe extern "C" fn(*mut c_void) -> c_int;
type LockGroup = unsafe extern "C" fn(Display, c_uint, c_uint) -> c_int;
type Flush = unsafe extern "C" fn(Display) -> c_int;

/// The layouts of the keyboard: where the display has them, and what chooses one.
const RULES: &CStr = c"_XKB_RULES_NAMES";
/// More than anybody has.
const RULES_MAX: c_long = 256;
/// The property with the display's resources, among those that are always there; and how much of it is read.
const RESOURCES: c_ulong = 23;
const RESOURCES_MAX: c_long = 16 * 1024;
/// The resource that says how many dots an inch has, and those of 100 percent.
const DOTS: &str = "Xft.dpi:";
const DOTS_USUAL: f32 = 96.0;
/// Said otherwise, it is a mistake.
const PERCENT: std::ops::RangeInclusive<f32> = 50.0..=800.0;
/// The keyboard that all others come together in.
const CORE_KEYBOARD: c_uint = 0x100;
/// The type of a property with text, among those that are always there.
const STRING: c_ulong = 31;

/// A connection of our own to the display. It is used on the thread that opened it, and stays until the program ends.
pub(super) struct X11 {
    display: Display,
    root: c_ulong,
    query_pointer: QueryPointer,
    get_geometry: GetGeometry,
    keyboard: Keyboard,
    idle: Option<Idle>,
}

/// The functions that ask for the layouts.
struct Keyboard {
    intern_atom: InternAtom,
    get_property: GetWindowProperty,
    free: Free,
    lock_group: LockGroup,
    flush: Flush,
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
        // SAFETY: as above.
        let keyboard = unsafe {
            Keyboard {
                intern_atom: std::mem::transmute::<NonNull<c_void>, InternAtom>(find(
                    c"XInternAtom",
                )?),
                get_property: std::mem::transmute::<NonNull<c_void>, GetWindowProperty>(find(
                    c"XGetWindowProperty",
                )?),
                free: std::mem::transmute::<NonNull<c_void>, Free>(find(c"XFree")?),
                lock_group: std::mem::transmute::<NonNull<c_void>, LockGroup>(find(
                    c"XkbLockGroup",
                )?),
                flush: std::mem::transmute::<NonNull<c_void>, Flush>(find(c"XFlush")?),
            }
        };
        // SAFETY: without a name it is the display that DISPLAY names.
        let display = unsafe { open(std::ptr::null()) }?;
        Some(Self {
            display,
            // SAFETY: the display is open.
            root: unsafe { root(display) },
            query_pointer,
            get_geometry,
            keyboard,
            idle: Idle::open(),
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

    /// For how long nobody has used keyboard and pointer, where that is counted.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.idle.as_ref()?.since(self.display, self.root)
    }

    /// The keyboard layouts, in the order of their numbers.
    pub(super) fn layouts(&self) -> Vec<String> {
        // SAFETY: the display is open; the name ends with a zero.
        let rules = unsafe { (self.keyboard.intern_atom)(self.display, RULES.as_ptr(), 1) };
        match rules {
            0 => Vec::new(),
            rules => layouts_of(&self.text(rules, RULES_MAX)),
        }
    }

    /// How large everything is to be, in percent, where a desktop or an administrator has said so.
    pub(super) fn percent(&self) -> Option<u16> {
        percent_of(&self.text(RESOURCES, RESOURCES_MAX))
    }

    /// A property of the display, if it is text; so many times four bytes of it at most.
    fn text(&self, property: c_ulong, most: c_long) -> Vec<u8> {
        let (mut kind, mut format, mut length, mut rest) = (0, 0, 0, 0);
        let mut bytes: *mut u8 = std::ptr::null_mut();
        // SAFETY: the display is open; the numbers live until the call returns.
        let read = unsafe {
            (self.keyboard.get_property)(
                self.display,
                self.root,
                property,
                0,
                most,
                0,
                STRING,
                &raw mut kind,
                &raw mut format,
                &raw mut length,
                &raw mut rest,
                &raw mut bytes,
            ) == 0
        };
        let Some(text) = NonNull::new(bytes).filter(|_| read) else {
            return Vec::new();
        };
        let found = match format {
            // SAFETY: so many bytes were handed out.
            8 => unsafe { std::slice::from_raw_parts(text.as_ptr(), length as usize) }.to_vec(),
            _ => Vec::new(),
        };
        // SAFETY: it was handed out by this library, and is not used any more.
        unsafe { (self.keyboard.free)(bytes.cast()) };
        found
    }

    /// Uses the layout of this number.
    pub(super) fn use_layout(&self, number: usize) {
        // SAFETY: the display is open.
        unsafe {
            (self.keyboard.lock_group)(self.display, CORE_KEYBOARD, number as c_uint);
            (self.keyboard.flush)(self.display);
        }
    }
}

/// Of the rules, the model, the layouts and their variants, each with a zero behind it, the layouts.
fn layouts_of(rules: &[u8]) -> Vec<String> {
    let names = rules.split(|byte| *byte == 0).nth(2).unwrap_or_default();
    String::from_utf8_lossy(names)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Of the resources, the one with the dots of an inch.
fn percent_of(resources: &[u8]) -> Option<u16> {
    let resources = String::from_utf8_lossy(resources);
    let dots = resources.lines().find_map(|line| line.strip_prefix(DOTS))?;
    let percent = dots.trim().parse::<f32>().ok()? / DOTS_USUAL * 100.0;
    PERCENT.contains(&percent).then_some(percent as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_everything_is_that_of_the_resources() {
        let said = |text: &str| percent_of(text.as_bytes());
        assert_eq!(said("*color0:\t#000\nXft.dpi:\t192\n"), Some(200));
        assert_eq!(said("Xft.dpi: 120.0"), Some(125));
        for other in [
            "",
            "Xft.dpi:",
            "Xft.dpi: many",
            "Xft.dpi: 0",
            "Xft.dpi: NaN",
            "Xft.dpi: 9e9",
        ] {
            assert_eq!(said(other), None, "{other}");
        }
    }

    #[test]
    fn layouts_are_the_third_of_the_rules() {
        assert_eq!(
            layouts_of(b"evdev\0pc105\0us,de\0,nodeadkeys\0\0"),
            ["us", "de"]
        );
        assert_eq!(layouts_of(b"evdev\0pc105\0il\0\0\0"), ["il"]);
        assert!(layouts_of(b"evdev\0pc105").is_empty() && layouts_of(b"").is_empty());
    }
}
