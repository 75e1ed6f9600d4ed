//! The targets on the screens.

use super::Kind;
use crate::language::Language;

/// A target: it can be pointed at, focused and pressed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// Nothing yet: the first Tab goes to the first thing there is. Where a key pressed too often would stop or
    /// skip something.
    Screen,
    /// The field for the name.
    Name,
    /// The field for the password.
    Password,
    /// The field for the password a second time.
    Again,
    /// The field for the secret key.
    SecretKey,
    /// The field for the words of the recovery sheet.
    Words,
    /// The field for the server's address.
    Server,
    /// The field for the private key of the wallet that pays.
    Wallet,
    /// Show the password.
    Reveal,
    /// Sign in, or create the account.
    Submit,
    /// The other form: create instead of sign in, and back.
    OtherForm,
    /// Show or hide the field for the secret key.
    UseKey,
    /// To the form that sets a new password with the recovery sheet.
    Forgotten,
    /// A session without an account.
    Guest,
    /// Remember the account on this computer.
    Remember,
    /// Make a secret key with the account.
    WithKey,
    /// Make a recovery sheet with the account.
    WithSheet,
    /// Show or hide where accounts live.
    Places,
    /// One of the places.
    AccountStore(Kind),
    /// A remembered account.
    Account(usize),
    /// Another account than those remembered.
    Someone,
    /// Back to the remembered accounts.
    Others,
    /// Take the chosen account out of the list.
    Forget,
    /// The other ways to get in.
    More,
    /// Yes, to a question.
    Sure,
    /// No, to a question.
    Cancel,
    /// End the session that is behind the card.
    SignOut,
    /// Go on waiting for a store that does not answer.
    KeepWaiting,
    /// The step that a notice offers.
    Next,
    /// Stop what is being done.
    Stop,
    /// Leave the rest of publishing to the next time.
    LeaveRest,
    /// Go on from the sheet to making the account or into the session, or from the price to paying it.
    Continue,
    /// Back from the price or the sheet to the form.
    Back,
    /// The menu of languages.
    Language,
    /// One of the languages.
    Speak(Language),
    /// The menu of what makes the screen easier to read.
    Access,
    /// High contrast.
    Contrast,
    /// Large text.
    Large,
    /// Reduced motion.
    Calm,
    /// The keyboard on the screen.
    ScreenKeyboard,
    /// A key of it that types this.
    Type(char),
    /// Its key for other letters.
    Layer,
    /// Its key for a capital.
    Capitals,
    /// Its key that removes.
    Erase,
    /// Light or dark.
    Appearance,
    /// The menu of keyboard layouts.
    Keyboard,
    /// One of the layouts.
    Keymap(usize),
    /// The menu of shutting down.
    Power,
    /// Shut down.
    ShutDown,
    /// Restart.
    Restart,
}

impl Target {
    /// Whether letters go into it.
    pub const fn is_text(self) -> bool {
        matches!(
            self,
            Self::Name
                | Self::Password
                | Self::Again
                | Self::SecretKey
                | Self::Words
                | Self::Server
                | Self::Wallet
        )
    }
}
