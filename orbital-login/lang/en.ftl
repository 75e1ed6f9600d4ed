# The texts of the sign-in screen. Every language has the same messages with the same variables (tests/language.rs).

## The form
sign-in = Sign in
create-title = Create an account
recover-title = Set a new password
recover-help = Type the twelve words of your recovery sheet. The forgotten password opens nothing any more then.
name = Name
password = Password
new-password = New password
password-again = Password again
same = The same
differs = Not the same as above
caps-lock = Caps Lock is on
num-lock = Num Lock is off
strength-none = Several words are better than one.
strength-0 = Guessed at once
strength-1 = Very weak: guessed within hours
strength-2 = Weak: some words more would help
strength-3 = Good
strength-4 = Very good
recovery-sheet = Recovery sheet
twelve-words = its twelve words
secret-key-label = Secret key, from its sheet
with-sheet = Recovery sheet, in case I forget the password
with-key = A secret key besides the password
remember = Remember me on this computer
create-button = Create account
recover-button = Set it and sign in
have-account = I have an account already
back-to-sign-in = Back to signing in
somebody-else = Somebody else
back-to-names = Back to the names
new-here = New here? Create an account

## More ways in
more-ways = More ways in
way-create = You are new here. It takes a name and a password.
forgot = I forgot my password
way-forgot = Set a new one with the twelve words of your recovery sheet.
other-server = My account is on another server
way-server = Type the address of the computer that keeps it.
has-key = My account has a secret key
no-key = My account has no secret key
way-key = It is asked for besides the password; it is on a sheet of its own.
guest = Continue as a guest
way-guest = No account is needed. Everything is gone when you sign out.
take-off-list = Take { $name } off this computer’s list
way-take-off = The account stays. Only this computer no longer shows it.
back = Back

## Where an account is kept
at-computer = on this computer
at-host = at { $host }
at-server = on a server
at-network = on the SAFE Network
at-local-network = on the network { $url }
the-computer = This computer
the-host = The server { $host }
the-server = The server
the-network = The SAFE Network
the-local-network = The network { $url }
account-at = Account { $place }
will-be-kept = It will be kept { $place }
change = Change
where-kept = Where is the account kept?
done = Done
usual = As usual here
kind-computer = This computer
kind-server = A server
kind-network = SAFE Network
server-address = The server’s address
keeping-costs = Keeping records there costs money, once; the account needs a wallet key.
on-own-server = On the server { $host }, as this computer is set up.
on-disk = On this computer’s disk, and nowhere else.
through-gateway = From here the SAFE Network is reached through a server, a gateway to it.

## The wallet
wallet-label = Private key of the wallet that pays
wallet-empty-field = 64 hexadecimal digits
wallet-complete = 64 digits: complete
wallet-strange = Character { $position } is none of 0 to 9 and a to f.
wallet-many = { $count } digits; it has 64.
wallet-few = { $count } of 64 digits.

## The people that this computer remembers
who = Who are you?
type-to-find = Type a name to find it
choose-name = Choose your name
nobody-called = Nobody here is called “{ $name }”
names-with = Names with “{ $name }”
more-above = ↑ { $count } more
more-below = ↓ { $count } more

## Waiting
one-moment = One moment…
starting = Starting SafeOS…
making-keys = Making the keys from your password…
finding-account = Finding the account…
setting-password = Setting the new password…
opening-account = Opening the account…
looking-here = No connection: looking on this computer…
asking-prices = Asking what it costs…
looking-name = Looking whether the name is free…
making-home = Making your home…
saving-account = Saving the account…
fetching-home = Fetching your home…
looking-changes = Looking for changes of other computers…
merging = Bringing both together…
packing = Gathering what is new…
saving-files = Saving your files…
waiting-programs = Waiting for programs to end…
ending-programs = Ending programs…
megabytes-left = { $amount } MB left
records-left = { $count ->
    [one] { $count } record left
   *[other] { $count } records left
}
other-left = { $count } left
welcome = Welcome, { $name }
guest-session = Guest session
what-does-it-cost = What does it cost?
creating = Creating { $name }
stopping = Stopping…
stop = Stop
silent = { $place } does not answer. Your files open without it, as this computer knows them, in { $seconds } s.
keep-waiting = Keep waiting for it
starting-desktop = Starting your desktop…
offline-now = Offline: what you change is saved on this computer, and to your account when it can be reached again.
signing-out = Signing out
nothing-lost = Nothing is lost if you sign out now: the rest waits, encrypted, on this computer and is saved when you sign in here again.
sign-out-now = Sign out now, save the rest next time

## The card over a session that goes on
locked = Locked. Your programs go on.
unlock = Unlock
sign-out = Sign out…
sign-out-title = Sign out?
sign-out-text = All programs are closed; what is not saved in them is lost. Then somebody else can sign in here.
sign-out-sure = Sign out
type-it-again = Type it again; Caps Lock and the keyboard layout matter.

## Questions
shut-down = Shut down
shut-down-menu = Shut down…
shut-down-title = Shut down?
shut-down-text = The computer turns off.
restart = Restart
restart-menu = Restart…
restart-title = Restart?
restart-text = The computer turns off and on again.
take-off-title = Take { $name } off the list?
take-off-text = This computer shows it no more. The account and its files stay where they are, { $place }.
take-off-address = Its address is { $address }: write it down, to sign in here later.
take-off = Take it off
cancel = Cancel
taken-off-title = { $name } is off this computer’s list
taken-off-text = The account itself is where it was, { $place }. With its name and password it opens here again.
put-back = Put it back

## What an account costs
price-title = What it costs
price-cost = Signing up costs about { $tokens } ANT and { $gas } ETH of gas.
price-has = The wallet { $wallet } has { $tokens } ANT and { $gas } ETH of gas.
price-note = Each record is paid for once, and keeping it costs nothing more. What you publish later is paid from this wallet too: its key goes, sealed, into the account.
continue = Continue

## Keys that are shown once
kept-go-on = I have kept it: go on
kept-create = I have kept it: create the account
kept-start = I have kept it: start
sheet-title = Your recovery sheet
sheet-text = If you forget the password, these twelve words open { $name } and set another one. They are shown only now: write them down or photograph them.
sheet-note = Whoever has them needs no password. Keep them where only you look.
key-title = Your secret key
key-text = { $name } opens with your password and this key together. It is shown only now: write it down or photograph it, and keep it apart from the password.
key-note = Who finds it cannot open the account without the password. Nobody can replace either of them.

## After a session, and after a while
signed-out = Signed out
out-saved = All your files are saved.
out-guest = Nothing of the guest is left.
out-kept = What is not saved to the account yet waits on this computer, encrypted, until you sign in here again.
idle-title = Nobody typed for a minute
idle-text = What stood in the fields was taken away.
stopped = Stopped
nothing-changed = Nothing was changed.
stopped-made = The account is made already: sign in to it.
stopped-set = The new password holds already: sign in with it.
stopped-maybe-set = The new password may hold already: try it, or use the sheet once more.
stopped-maybe-made = If the account was made all the same, it opens with the password and what you have written down.

## What is missing in the form
type-name = Type the name of your account.
bad-name = This cannot be a name
which-server = Which server?
type-server = Type its address, for instance https://home.example.
sheet-again = Look at the sheet again
password-missing = The password is missing
type-password = Type it, then press Enter.
wallet-needed = The wallet’s private key is needed
wallet-pays = It pays for the account, and has 64 digits, 0 to 9 and a to f. { $wrong }
weak-password = This password will not do
passwords-differ = The passwords differ
type-twice = Type the same password twice.
name-empty = It is empty.
name-long = It has more than 64 characters.
name-slash = It contains a “/”.
name-space = It contains a space.
name-hidden = It contains an invisible character.
name-start = It begins with “-” or “.”.
password-short = It has fewer than 8 characters.
password-long = It is too long.
word-unknown = Word { $number } stands on no recovery sheet; compare it letter by letter.
words-count = It has twelve words, and { $count } were given.
words-mixed = The words do not fit together: one is another word, or two have changed places.
key-strange = It contains a character that secret keys never have.
key-long = It is too long.
key-short = A part of it is missing.
key-mistyped = A letter or digit is mistyped.

## What went wrong, and what helps
try-again = Try again
create-it = Create it
sign-in-instead = Sign in instead
secret-key = Secret key
open-it = Open it
look-elsewhere = Look elsewhere
wrong-password = Wrong password
wrong-password-text = Type it again; Caps Lock and the keyboard layout matter. If this account has a secret key, it is needed too.
wrong-password-key = Type it again, and compare the secret key with your sheet. Caps Lock and the keyboard layout matter.
unknown-name = There is no such account here
unknown-name-text = { $place } has no account “{ $name }”. Check the spelling, look where the account lives, or create it.
wrong-or-unknown = Nothing opens with this name and password
wrong-or-unknown-text = Check both. There, nobody can tell a wrong password from a name that does not exist.
account-exists = This name is taken
account-exists-text = Somebody has the account “{ $name }” already. If it is yours, sign in; else choose another name.
retired = This password holds no more
retired-text = It was changed: sign in with the new one.
password-used-text = This account had it before: choose another one.
password-in-use-text = An earlier change to it was interrupted, and files have changed since: sign in with the new password, or change to a third one.
bad-secret-key = The secret key is mistyped
unknown-sheet = This sheet opens nothing here
unknown-sheet-text = { $place } has no account with it. Look where the account lives, and whether there is a newer sheet.
sheet-of-another = This sheet is another account’s
sheet-of-another-text = It does not open “{ $name }”. Type the name of the account it was made for.
sheet-replaced = This sheet was replaced
sheet-replaced-text = It opens nothing any more. Look for the newer one.
unreachable = The account is out of reach
unreachable-text = { $why } Check the cable or the wireless network. Whoever is remembered here can sign in offline.
no-gateway = Something else answers there
no-gateway-text = Perhaps this network wants a sign-in of its own: do that first, then try again. Else check the address. Whoever is remembered here can sign in offline.
bad-certificate = The server cannot prove who it is
bad-certificate-text = Its certificate was made by nobody whom this computer trusts, so nothing was sent to it. Check the address, or ask whoever runs the server.
refused = The server refuses
refused-text = { $message }
no-network = The SAFE Network cannot be reached from here
no-network-text = Its program does not run on this computer. Choose a server, and type the address of a gateway to the network.
bad-store = No place for accounts
bad-store-text = { $message }
wallet-poor = The wallet has too little
wallet-poor-text = { $message }
too-dear = It costs too much
too-dear-text = { $message } Prices change: try again later, or choose another place.
no-network-client = This computer cannot reach the network itself
no-network-client-text = { $message }
bad-wallet-key = The wallet’s key opens no wallet
bad-wallet-key-text = Compare it with the one that your wallet shows: 64 digits, 0 to 9 and a to f. Nothing was paid.
full = There is no room left
full-text = { $message }
store-broken = The place cannot be used
store-broken-text = { $message }
rolled-back = An older state of your home
rolled-back-text = Somebody has put an old state of your home back in place of the newest. If the store was restored on purpose, open it; else ask who runs it.
damaged = A part of the account is damaged
damaged-text = { $message }
in-use = This account is open already
in-use-text = It is signed in on this computer, perhaps in a terminal. Sign it out there, then try again.
head-moved = Another computer was quicker
head-moved-text = The account is in use on another computer, which has just published. Nothing is lost: try again, and both are brought together.
no-memory = Not enough memory
no-memory-text = { $message }
no-randomness = No random numbers
no-randomness-text = This computer offers no source of random numbers, so no safe keys can be made on it. In a virtual machine, choose a processor that has one.
wrong-clock = The clock is wrong
wrong-clock-text = { $message } Servers are not trusted with a wrong clock: set it, then try again.
clock-says = This computer’s clock says { $date } { $year }, which cannot be. Servers are not trusted with a wrong clock: set it.
no-daemon = SafeOS does not answer
no-daemon-text = { $message } What was saved is not lost. It is started again when you try again.
forbidden = This SafeOS belongs to another user
forbidden-text = { $message }
protocol = The parts do not fit together
protocol-text = { $message }
desktop-failed = The desktop did not start
desktop-failed-text = { $message }
desktop-brief = The desktop ended at once
desktop-brief-text = { $message }
desktop-crashed = The desktop broke off
desktop-crashed-text = { $message }
no-user = No place for you on this computer
no-user-text = { $message }
no-home = Your home cannot be shown
no-home-text = { $message }
not-published = Not everything is published yet
not-published-text = { $message }
unknown-error = It did not work
unknown-error-text = { $message }

## Around the card
console = This image has a developer’s console (Super+F2). Whoever gets in there can read what is open here.
high-contrast = High contrast
large-text = Large text
reduced-motion = Reduced motion
screen-keyboard = On-screen keyboard
online = Online
offline = Offline
battery = Battery { $percent } %
# The only text of which other languages need not use every variable.
date = { $order ->
    [month] { $weekday }, { $month } { $day }
   *[day] { $weekday }, { $day } { $month }
}
day-0 = Sunday
day-1 = Monday
day-2 = Tuesday
day-3 = Wednesday
day-4 = Thursday
day-5 = Friday
day-6 = Saturday
month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December
