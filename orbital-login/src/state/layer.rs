//! The letters of the keyboard on the screen, by language.

use crate::language::Language;

/// The letters that stand on the keys.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Layer {
    /// The letters of the language.
    #[default]
    Own,
    /// Latin ones, where those are others: for addresses, and most passwords.
    Latin,
    /// Figures and signs.
    Signs,
    /// Latin letters with marks.
    Marks,
}

/// The keys of a layer, row by row.
type Rows = [&'static str; 4];

const QWERTY: Rows = ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm.-"];
const QWERTZ: Rows = ["1234567890", "qwertzuiopü", "asdfghjklöä", "yxcvbnm.-ß"];
const AZERTY: Rows = ["1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn.-éè"];
const CYRILLIC: Rows = ["1234567890", "йцукенгшщзхъ", "фывапролджэё", "ячсмитьбю.-"];
const UKRAINIAN: Rows = ["1234567890", "йцукенгшщзхї", "фівапролджєґ", "ячсмитьбю.-’"];
const HEBREW: Rows = ["1234567890", "קראטוןםפ", "שדגכעיחלךף", "זסבהנמצתץ.-"];
const ARABIC: Rows = ["1234567890", "ضصثقفغعهخحجد", "شسيبلاتنمكطذ", "ئءؤرىةوزظأإ"];
const TURKISH: Rows = ["1234567890", "qwertyuıopğü", "asdfghjklşi", "zxcvbnmöç.-"];
const SIGNS: Rows = ["1234567890", "@#€$%&*+-=", "!?/\\|_~^'\"", "()[]{}<>:;,."];
const MARKS: Rows = ["áàâäãåąæçć", "éèêëęíìîïı", "ñńóòôöõøœł", "śşšßúùûüýźż"];

impl Layer {
    /// Its keys.
    pub(super) const fn rows(self, language: Language) -> Rows {
        match (self, language) {
            (Self::Signs, _) => SIGNS,
            (Self::Marks, _) => MARKS,
            (Self::Own, Language::Russian) => CYRILLIC,
            (Self::Own, Language::Ukrainian) => UKRAINIAN,
            (Self::Own, Language::Hebrew) => HEBREW,
            (Self::Own, Language::Arabic) => ARABIC,
            (Self::Own, Language::German) => QWERTZ,
            (Self::Own, Language::French) => AZERTY,
            (Self::Own, Language::Turkish) => TURKISH,
            (Self::Own | Self::Latin, _) => QWERTY,
        }
    }

    /// The one that comes after it.
    pub(super) const fn next(self, language: Language) -> Self {
        let has_own = matches!(
            language,
            Language::Russian | Language::Ukrainian | Language::Hebrew | Language::Arabic
        );
        match self {
            Self::Own if has_own => Self::Latin,
            Self::Own | Self::Latin => Self::Signs,
            Self::Signs => Self::Marks,
            Self::Marks => Self::Own,
        }
    }
}
