//! Keys of the keyboard, as the state machine knows them.
//!
//! What always holds here: a letter comes from the system's own text events, after layout, Shift and dead
//! keys; from key codes come only the keys that move and act. The codes are those of Orbital (and of the
//! desktop backend), which are those of the first PC keyboards.

/// A key that does something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// To the next field or button.
    Tab,
    /// To the one before.
    BackTab,
    /// Does what is chosen.
    Enter,
    /// Stops, closes, goes back.
    Escape,
    /// Removes to the left.
    Backspace,
    /// Removes to the right.
    Delete,
    /// Moves left.
    Left,
    /// Moves right.
    Right,
    /// Moves up.
    Up,
    /// Moves down.
    Down,
    /// Moves up by a page.
    PageUp,
    /// Moves down by a page.
    PageDown,
    /// To the start.
    Home,
    /// To the end.
    End,
    /// To the start of the word.
    WordLeft,
    /// Behind the end of the word.
    WordRight,
    /// Removes to the start of the word.
    DeleteWord,
    /// Removes to the end of the word.
    DeleteWordAfter,
    /// Removes to the start.
    DeleteToStart,
    /// Takes all of it: what is typed next replaces it.
    SelectAll,
    /// Brings in what was copied.
    Paste,
}

/// The meaning of a key event of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// A character was typed.
    Text(char),
    /// A key was pressed.
    Key(Key),
    /// Caps Lock was turned on or off, as far as can be told.
    Caps(bool),
    /// The digits of the keypad move (`true`), since Num Lock is off and one of them was pressed; or type again.
    PadMoves(bool),
}

/// The codes of keys, which are those of the first PC keyboards.
pub mod code {
    /// Escape.
    pub const ESCAPE: u8 = 0x01;
    /// Backspace.
    pub const BACKSPACE: u8 = 0x0e;
    /// Tab.
    pub const TAB: u8 = 0x0f;
    /// Enter.
    pub const ENTER: u8 = 0x1c;
    /// Either Control.
    pub const CONTROL: u8 = 0x1d;
    /// Left Shift.
    pub const LEFT_SHIFT: u8 = 0x2a;
    /// Right Shift.
    pub const RIGHT_SHIFT: u8 = 0x36;
    /// Either Alt.
    pub const ALT: u8 = 0x38;
    /// Caps Lock.
    pub const CAPS: u8 = 0x3a;
    /// Home.
    pub const HOME: u8 = 0x47;
    /// Up.
    pub const UP: u8 = 0x48;
    /// Page up.
    pub const PAGE_UP: u8 = 0x49;
    /// Left.
    pub const LEFT: u8 = 0x4b;
    /// Right.
    pub const RIGHT: u8 = 0x4d;
    /// End.
    pub const END: u8 = 0x4f;
    /// Down.
    pub const DOWN: u8 = 0x50;
    /// Page down.
    pub const PAGE_DOWN: u8 = 0x51;
    /// Insert.
    pub const INSERT: u8 = 0x52;
    /// Delete.
    pub const DELETE: u8 = 0x53;
    /// Enter of the keypad.
    pub const PAD_ENTER: u8 = 0x7f;
}

/// The keys that are held down, and the state of Caps Lock, known or guessed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Keyboard {
    left_shift: bool,
    right_shift: bool,
    control: bool,
    alt: bool,
    caps: bool,
    /// The system says what Caps Lock is.
    told: bool,
    /// A digit of the keypad has moved.
    pad_moves: bool,
    /// The key that acts and is held down: a key that repeats acts once. Only the key that was pressed last repeats, so any
    /// other press ends that, also where a release was not heard.
    acting: Option<u8>,
}

impl Keyboard {
    fn shift(self) -> bool {
        self.left_shift || self.right_shift
    }

    /// A key went down or up; `character`: what it types by itself, whatever is held with it.
    pub fn key(&mut self, scancode: u8, character: char, pressed: bool) -> Option<Input> {
        match scancode {
            code::LEFT_SHIFT => self.left_shift = pressed,
            code::RIGHT_SHIFT => self.right_shift = pressed,
            code::CONTROL => self.control = pressed,
            code::ALT => self.alt = pressed,
            code::CAPS if pressed && !self.told => return self.set_caps(!self.caps),
            _ => {}
        }
        if !pressed {
            if self.acting == Some(scancode) {
                self.acting = None;
            }
            return None;
        }
        let acts = matches!(scancode, code::ENTER | code::PAD_ENTER | code::ESCAPE);
        let before = std::mem::replace(&mut self.acting, acts.then_some(scancode));
        if acts && before == Some(scancode) {
            return None;
        }
        let control = self.control && !self.alt;
        Some(Input::Key(match scancode {
            code::TAB if self.alt => return None,
            code::TAB if self.shift() => Key::BackTab,
            code::TAB => Key::Tab,
            code::ENTER | code::PAD_ENTER => Key::Enter,
            code::ESCAPE => Key::Escape,
            code::BACKSPACE if control => Key::DeleteWord,
            code::BACKSPACE => Key::Backspace,
            code::DELETE if control => Key::DeleteWordAfter,
            code::DELETE => Key::Delete,
            code::LEFT if control => Key::WordLeft,
            code::LEFT => Key::Left,
            code::RIGHT if control => Key::WordRight,
            code::RIGHT => Key::Right,
            code::UP => Key::Up,
            code::DOWN => Key::Down,
            code::PAGE_UP => Key::PageUp,
            code::PAGE_DOWN => Key::PageDown,
            code::HOME => Key::Home,
            code::END => Key::End,
            code::INSERT if self.shift() => Key::Paste,
            _ if control => match character.to_ascii_lowercase() {
                'a' => Key::SelectAll,
                'u' => Key::DeleteToStart,
                'w' => Key::DeleteWord,
                'v' => Key::Paste,
                _ => return None,
            },
            _ => return None,
        }))
    }

    /// A character was typed. Where the system does not say whether Caps Lock is on, a letter whose case does not fit Shift
    /// tells: one of those that every layout has both ways, for on some Shift gives other small letters.
    pub fn text(&mut self, character: char) -> (Option<Input>, Option<Input>) {
        if character.is_control() || self.control && !self.alt {
            return (None, None);
        }
        let caps = match character {
            'A'..='Z' if !self.told => self.set_caps(!self.shift()),
            'a'..='z' if !self.told => self.set_caps(self.shift()),
            _ => None,
        };
        (caps, Some(Input::Text(character)))
    }

    /// The system says what Caps Lock is.
    pub fn told_caps(&mut self, on: bool) -> Option<Input> {
        self.told = true;
        self.set_caps(on)
    }

    /// A key was pressed that shows what the keypad does: one of its digits while Num Lock is off, or any while it is on.
    pub fn told_pad(&mut self, moves: bool) -> Option<Input> {
        let before = std::mem::replace(&mut self.pad_moves, moves);
        (before != moves).then_some(Input::PadMoves(moves))
    }

    /// The window lost the keyboard: whatever was held may be let go of elsewhere.
    pub fn let_go(&mut self) {
        *self = Self {
            caps: self.caps,
            told: self.told,
            pad_moves: self.pad_moves,
            ..Self::default()
        };
    }

    fn set_caps(&mut self, caps: bool) -> Option<Input> {
        (std::mem::replace(&mut self.caps, caps) != caps).then_some(Input::Caps(caps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(keyboard: &mut Keyboard, scancode: u8) -> Option<Input> {
        keyboard.key(scancode, '\0', true)
    }

    #[test]
    fn keys_have_their_meaning_with_shift_and_without() {
        let mut keyboard = Keyboard::default();
        assert_eq!(press(&mut keyboard, code::TAB), Some(Input::Key(Key::Tab)));
        assert_eq!(keyboard.key(code::TAB, '\0', false), None);
        press(&mut keyboard, code::RIGHT_SHIFT);
        assert_eq!(
            press(&mut keyboard, code::TAB),
            Some(Input::Key(Key::BackTab))
        );
        assert_eq!(
            press(&mut keyboard, code::INSERT),
            Some(Input::Key(Key::Paste))
        );
        keyboard.let_go();
        assert_eq!(press(&mut keyboard, code::TAB), Some(Input::Key(Key::Tab)));
        assert_eq!(press(&mut keyboard, code::INSERT), None);
        assert_eq!(keyboard.key(0x10, 'q', true), None);
        // Super, which is Home nowhere.
        assert_eq!(press(&mut keyboard, 0x5b), None);
        assert_eq!(
            press(&mut keyboard, code::PAD_ENTER),
            Some(Input::Key(Key::Enter))
        );
    }

    #[test]
    fn a_key_that_is_held_acts_once_and_moves_for_as_long() {
        let mut keyboard = Keyboard::default();
        for key in [code::ENTER, code::PAD_ENTER, code::ESCAPE] {
            assert!(press(&mut keyboard, key).is_some());
            assert_eq!(press(&mut keyboard, key), None);
            keyboard.key(key, '\0', false);
            assert!(press(&mut keyboard, key).is_some());
            keyboard.let_go();
            assert!(press(&mut keyboard, key).is_some());
        }
        // The release of the first was not heard.
        assert!(press(&mut keyboard, code::ENTER).is_some());
        assert!(keyboard.key(0x1e, 'a', true).is_none());
        assert!(press(&mut keyboard, code::ENTER).is_some());
        for _ in 0..3 {
            assert!(press(&mut keyboard, code::LEFT).is_some());
            assert!(press(&mut keyboard, code::BACKSPACE).is_some());
        }
    }

    #[test]
    fn shortcuts_go_by_what_is_printed_on_the_key() {
        let mut keyboard = Keyboard::default();
        press(&mut keyboard, code::CONTROL);
        // The “a” of a French keyboard is where the “q” of others is.
        for (scancode, character, key) in [
            (0x10, 'a', Key::SelectAll),
            (0x1e, 'A', Key::SelectAll),
            (0x16, 'u', Key::DeleteToStart),
            (0x11, 'w', Key::DeleteWord),
            (0x2f, 'v', Key::Paste),
        ] {
            let input = keyboard.key(scancode, character, true);
            assert_eq!(input, Some(Input::Key(key)), "{character}");
        }
        assert_eq!(keyboard.key(0x10, 'q', true), None);
        for (scancode, key) in [
            (code::BACKSPACE, Key::DeleteWord),
            (code::DELETE, Key::DeleteWordAfter),
            (code::LEFT, Key::WordLeft),
            (code::RIGHT, Key::WordRight),
        ] {
            assert_eq!(press(&mut keyboard, scancode), Some(Input::Key(key)));
        }
        // With Alt it is AltGr, which types.
        press(&mut keyboard, code::ALT);
        assert_eq!(keyboard.key(0x10, 'a', true), None);
    }

    #[test]
    fn caps_lock_is_told_by_its_key_and_by_letters() {
        let mut keyboard = Keyboard::default();
        assert_eq!(press(&mut keyboard, code::CAPS), Some(Input::Caps(true)));
        assert_eq!(keyboard.key(code::CAPS, '\0', false), None);
        assert_eq!(keyboard.text('A'), (None, Some(Input::Text('A'))));
        assert_eq!(
            keyboard.text('a'),
            (Some(Input::Caps(false)), Some(Input::Text('a')))
        );
        keyboard.key(code::LEFT_SHIFT, '\0', true);
        // Shift and è are é on an Italian keyboard, ü and è on a Swiss one.
        for small in ['é', 'è', '1'] {
            assert_eq!(keyboard.text(small), (None, Some(Input::Text(small))));
        }
        assert_eq!(
            keyboard.text('b'),
            (Some(Input::Caps(true)), Some(Input::Text('b')))
        );
    }

    #[test]
    fn what_the_system_says_of_caps_lock_counts() {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.told_caps(false), None);
        // The key may do something else.
        assert_eq!(press(&mut keyboard, code::CAPS), None);
        assert_eq!(keyboard.text('A'), (None, Some(Input::Text('A'))));
        assert_eq!(keyboard.told_caps(true), Some(Input::Caps(true)));
        assert_eq!(keyboard.told_caps(true), None);
        assert_eq!(keyboard.text('a'), (None, Some(Input::Text('a'))));
        keyboard.let_go();
        assert_eq!(keyboard.text('A'), (None, Some(Input::Text('A'))));
        assert_eq!(keyboard.told_caps(false), Some(Input::Caps(false)));
    }

    #[test]
    fn what_the_keypad_does_is_told_when_it_changes() {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.told_pad(false), None);
        assert_eq!(keyboard.told_pad(true), Some(Input::PadMoves(true)));
        assert_eq!(keyboard.told_pad(true), None);
        keyboard.let_go();
        assert_eq!(keyboard.told_pad(false), Some(Input::PadMoves(false)));
    }

    #[test]
    fn a_shortcut_types_nothing() {
        let mut keyboard = Keyboard::default();
        keyboard.key(code::CONTROL, '\0', true);
        assert_eq!(keyboard.text('v'), (None, None));
        // AltGr comes as both on some systems, and is how “@” is typed on many keyboards.
        keyboard.key(code::ALT, '\0', true);
        assert_eq!(keyboard.text('@'), (None, Some(Input::Text('@'))));
        assert_eq!(keyboard.text('\u{8}'), (None, None));
    }
}
