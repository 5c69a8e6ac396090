//! The app as two people use it, side by side: keys go in, and screens come out.

use std::time::{Duration, Instant};

use livestore_testing::{TestBackend, TestClient};
use ratatui::Terminal;
use ratatui::backend::TestBackend as Screen;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use todos::model::schema;
use tokio::sync::watch;

use crate::app::{App, Mode};
use crate::ui;

/// Somebody in front of a terminal.
struct User {
    client: TestClient,
    app: App,
}

impl User {
    fn new(backend: &TestBackend, name: &str) -> Self {
        let client = backend.client(schema());
        let app = App::new(client.store().clone(), watch::channel(true).0, name);
        Self { client, app }
    }

    fn press(&mut self, code: KeyCode) {
        self.app.key(KeyEvent::new(code, KeyModifiers::NONE));
    }

    /// Presses keys: letters, and `\n` for enter.
    fn type_in(&mut self, keys: &str) {
        for key in keys.chars() {
            self.press(if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) });
        }
    }

    fn screen(&self) -> String {
        let mut terminal = Terminal::new(Screen::new(90, 12)).unwrap();
        terminal.draw(|frame| ui::draw(frame, &self.app)).unwrap();
        terminal.backend().to_string()
    }

    #[track_caller]
    fn sees(&self, what: &str) {
        let screen = self.screen();
        assert!(screen.contains(what), "no {what:?} in\n{screen}");
    }

    /// Waits until it is on the screen, as somebody does who looks at it.
    #[track_caller]
    fn will_see(&self, what: &str) {
        let start = Instant::now();
        while !self.screen().contains(what) {
            assert!(start.elapsed() < Duration::from_secs(10), "no {what:?} in\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn two() -> (TestBackend, User, User) {
    let backend = TestBackend::new();
    let (ann, bob) = (User::new(&backend, "ann"), User::new(&backend, "bob"));
    (backend, ann, bob)
}

#[test]
fn what_one_does_the_other_sees() {
    let (_backend, mut ann, mut bob) = two();
    ann.sees("Nothing to do. Press a to add something.");
    ann.type_in("aBuy milk\n");
    ann.sees("[ ] Buy milk");
    bob.will_see("[ ] Buy milk");
    bob.type_in(" ");
    ann.will_see("[x] Buy milk");
    bob.type_in("e now\n");
    ann.will_see("[x] Buy milk now");
    ann.type_in("d");
    bob.will_see("Nothing to do.");
}

#[test]
fn who_is_offline_goes_on_and_catches_up() {
    let (backend, mut ann, mut bob) = two();
    ann.type_in("aone\n");
    bob.will_see("one");
    backend.settle();
    ann.client.go_offline();
    ann.type_in("atwo\nathree\n");
    ann.sees("2 not sent yet");
    bob.type_in("afour\n");
    ann.client.go_online();
    backend.settle();
    for user in [&ann, &bob] {
        for title in ["one", "two", "three", "four"] {
            user.sees(title);
        }
    }
    assert_eq!(ann.client.state_hash().unwrap(), bob.client.state_hash().unwrap());
}

#[test]
fn undo_takes_back_what_was_done_here_by_events_of_its_own() {
    let (backend, mut ann, mut bob) = two();
    ann.type_in("aapple\napear\n");
    backend.settle();
    ann.type_in(" d");
    bob.type_in("aplum\n");
    backend.settle();
    ann.type_in("uu");
    backend.settle();
    ann.sees("[ ] pear");
    bob.sees("[ ] pear");
    bob.sees("plum");
    ann.type_in("uuu");
    ann.sees("there is nothing to undo");
    backend.settle();
    let screen = bob.screen();
    assert!(!screen.contains("apple") && !screen.contains("pear"), "{screen}");
    assert!(screen.contains("plum"), "{screen}");
    // Nothing was taken out of the log for that.
    assert_eq!(backend.log().len(), 9);
}

#[test]
fn a_conflict_is_shown_and_can_be_tried_again_or_forgotten() {
    let (backend, mut ann, mut bob) = two();
    ann.type_in("aBuy milk\nacake\n");
    backend.settle();
    ann.client.go_offline();
    ann.press(KeyCode::Up);
    ann.type_in("e now\n ");
    bob.type_in("d");
    backend.settle();
    ann.client.go_online();
    backend.settle();
    ann.sees("2 conflicts (x)");
    ann.type_in("x");
    ann.sees("What did not make it");
    ann.sees("1. Rename: somebody has deleted “Buy milk”");
    ann.type_in("r");
    ann.sees("still not possible: somebody has deleted “Buy milk”");
    ann.type_in("ff");
    assert_eq!(ann.app.mode, Mode::List);
    let screen = ann.screen();
    assert!(!screen.contains("conflict (x)") && !screen.contains("conflicts (x)"), "{screen}");
    ann.type_in("x");
    ann.sees("everything has made it");
}

#[test]
fn of_two_new_titles_the_second_is_told_that_it_was_late() {
    let (backend, mut ann, mut bob) = two();
    ann.type_in("amilk\n");
    backend.settle();
    ann.client.go_offline();
    ann.type_in("e for ann\n");
    bob.type_in("e for bob\n");
    backend.settle();
    ann.client.go_online();
    backend.settle();
    ann.sees("milk for bob");
    ann.sees("1 conflict (x)");
    ann.type_in("x");
    ann.sees("somebody has renamed “milk” to “milk for bob” already");
}

#[test]
fn keys_that_mean_nothing_do_nothing_and_long_titles_keep_their_end_in_sight() {
    let (_backend, mut ann, _bob) = two();
    ann.type_in("ed k");
    ann.press(KeyCode::Home);
    ann.sees("Nothing to do.");
    ann.type_in("a");
    ann.type_in(&"long ".repeat(40));
    ann.type_in("end");
    ann.sees("New: ");
    ann.sees("long end");
    ann.press(KeyCode::Backspace);
    ann.press(KeyCode::Esc);
    ann.sees("Nothing to do.");
    ann.type_in("a   \n");
    ann.sees("Nothing to do.");
    ann.app.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(ann.app.ends);
}
