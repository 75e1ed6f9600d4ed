/// The events of a window, on any system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// A key went down or up: its code, and what it types by itself.
    Key(u8, char, bool),
    /// A character was typed.
    Text(char),
    /// Caps Lock is on, or off, as the system has it.
    #[cfg_attr(
        target_os = "redox",
        expect(dead_code, reason = "the system does not tell of Caps Lock")
    )]
    Caps(bool),
    /// A key was pressed that shows whether the digits of the keypad move: Num Lock is off.
    #[cfg_attr(
        target_os = "redox",
        expect(dead_code, reason = "the system does not tell of Num Lock")
    )]
    PadMoves(bool),
    /// The pointer is there.
    Pointer(i32, i32),
    /// The button that points went down or up.
    Button(bool),
    /// The wheel was turned, down by so many lines.
    Scroll(i32),
    /// The window has the keyboard, or has it no more.
    Focus(bool),
    /// The keyboard has other layouts.
    #[cfg_attr(
        target_os = "redox",
        expect(dead_code, reason = "the system's are there from the start")
    )]
    Layouts,
    /// The window or the screen has another size.
    Resized,
    /// The window was closed.
    Quit,
}
