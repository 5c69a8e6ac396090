//! What the app looks like.

use livestore::QueryError;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, List, ListItem, ListState, Paragraph, Wrap};
use todos::model::Todo;
use unicode_width::UnicodeWidthStr;

use crate::app::{App, Mode, why};

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App) {
    let [body, input, keys] =
        Layout::vertical([Constraint::Min(3), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    let drawn = match app.mode {
        Mode::Letters => draw_letters(frame, app, body),
        _ => draw_list(frame, app, body),
    };
    if let Err(error) = drawn {
        frame.render_widget(Paragraph::new(error.to_string()).wrap(Wrap { trim: false }), body);
    }
    draw_input(frame, app, input);
    let help = match app.mode {
        Mode::List => {
            "a add, space done, e rename, d delete, u undo, o offline, x conflicts, q quit"
        }
        Mode::Adding(_) | Mode::Renaming { .. } => "enter keep, esc leave",
        Mode::Letters => "r try the first again, f forget it, esc back",
    };
    frame.render_widget(Paragraph::new(help).dim(), keys);
}

fn draw_list(frame: &mut Frame<'_>, app: &App, area: Rect) -> Result<(), QueryError> {
    let (todos, status) = (app.todos()?, app.store().sync_status()?);
    let mut title = vec![
        Span::from(format!(" {} ", app.name)).bold(),
        Span::from(format!("· {} ", app.connection(&status))),
    ];
    match app.store().sessions()?.len().saturating_sub(1) {
        0 => {}
        1 => title.push(Span::from("· with 1 other session ")),
        others => title.push(Span::from(format!("· with {others} other sessions "))),
    }
    if status.pending_groups > 0 {
        title.push(Span::from(format!("· {} not sent yet ", status.pending_groups)));
    }
    if status.dead_letters > 0 {
        let conflicts = if status.dead_letters == 1 { "conflict" } else { "conflicts" };
        title.push(Span::from(format!("· {} {conflicts} (x) ", status.dead_letters)).reversed());
    }
    let item = |todo: &Todo| {
        let mark = if todo.done { "[x] " } else { "[ ] " };
        let style = if todo.done { Style::new().dim() } else { Style::new() };
        let mut line = vec![Span::from(mark), Span::styled(todo.title.clone(), style)];
        if !todo.note.is_empty() {
            line.push(Span::from(format!("  {}", todo.note)).dim().italic());
        }
        ListItem::new(Line::from(line))
    };
    let block = Block::bordered().title(Line::from(title));
    if todos.is_empty() {
        let empty = Paragraph::new("Nothing to do. Press a to add something.").dim().block(block);
        frame.render_widget(empty, area);
        return Ok(());
    }
    let list = List::new(todos.iter().map(|todo| item(todo)).collect::<Vec<_>>())
        .block(block)
        .highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let cursor = app.cursor.min(todos.len() - 1);
    let mut state = ListState::default().with_selected(Some(cursor));
    frame.render_stateful_widget(list, area, &mut state);
    Ok(())
}

fn draw_letters(frame: &mut Frame<'_>, app: &App, area: Rect) -> Result<(), QueryError> {
    let mut lines = Vec::new();
    for (number, letter) in (1..).zip(app.letters()?) {
        let what = letter.command.as_ref().map_or_else(
            || letter.group.events()[0].name.to_string(),
            |command| command.name.clone(),
        );
        let line = Line::from(vec![
            Span::from(format!("{number}. {what}: ")).bold(),
            Span::from(why(&letter)),
        ]);
        // The keys act on the first one.
        lines.push(if number == 1 { line.reversed() } else { line });
    }
    let block = Block::bordered().title(" What did not make it ".bold());
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
    Ok(())
}

fn draw_input(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let (label, text) = match &app.mode {
        Mode::Adding(title) => ("New: ", title),
        Mode::Renaming { title, .. } => ("Rename: ", title),
        Mode::List | Mode::Letters => {
            frame.render_widget(Paragraph::new(app.message.as_str()), area);
            return;
        }
    };
    // The end of a long text stays in sight.
    let room = usize::from(area.width).saturating_sub(label.width() + 1);
    let mut shown = text.as_str();
    while shown.width() > room {
        let first = shown.chars().next().map_or(0, char::len_utf8);
        shown = &shown[first..];
    }
    frame.render_widget(Paragraph::new(format!("{label}{shown}")), area);
    let x = area.x + (label.width() + shown.width()) as u16;
    frame.set_cursor_position((x.min(area.right().saturating_sub(1)), area.y));
}
