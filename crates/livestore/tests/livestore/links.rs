//! The link between a session and its leader: frames, however the bytes come, and what no frames are.

use livestore::session::link::{Frame, FrameError, Frames, MAX_LINK_FRAME_BYTES, WINDOW, Window};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::properties::cases;

fn any_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        vec(any::<u8>(), 0..200).prop_map(Frame::Message),
        vec(any::<u8>(), 0..200).prop_map(Frame::Piece),
        (any::<u16>(), vec(any::<u8>(), 0..200))
            .prop_map(|(transfer, rows)| Frame::Rows { transfer, rows }),
        any::<u32>().prop_map(Frame::Credit),
        Just(Frame::Ping),
        Just(Frame::Pong),
    ]
}

fn bytes_of(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.write(&mut bytes);
    }
    bytes
}

/// All frames of bytes that come in pieces of such lengths, one after the other and again.
fn read(bytes: &[u8], pieces: &[usize]) -> Result<Vec<Frame>, FrameError> {
    let (mut frames, mut read) = (Frames::default(), Vec::new());
    let (mut rest, mut pieces) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
        frames.push(piece);
        rest = after;
        while let Some(frame) = frames.pop()? {
            read.push(frame);
        }
    }
    frames.end()?;
    Ok(read)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn frames_come_as_they_were_sent_however_the_stream_is_cut(
        sent in vec(any_frame(), 0..10), pieces in vec(1..300_usize, 1..8),
    ) {
        prop_assert_eq!(read(&bytes_of(&sent), &pieces), Ok(sent));
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_noticed(
        sent in vec(any_frame(), 1..5), cut: prop::sample::Index, pieces in vec(1..300_usize, 1..8),
    ) {
        let bytes = bytes_of(&sent);
        let cut = cut.index(bytes.len());
        let whole: Vec<usize> = (0..=sent.len()).map(|some| bytes_of(&sent[..some]).len()).collect();
        let expected = match whole.iter().position(|end| *end == cut) {
            Some(some) => Ok(sent[..some].to_vec()),
            None => Err(FrameError::CutOff),
        };
        prop_assert_eq!(read(&bytes[..cut], &pieces), expected);
    }

    #[test]
    fn whatever_comes_takes_no_more_memory_than_was_sent_and_never_panics(
        noise in vec(any::<u8>(), 0..400), pieces in vec(1..50_usize, 1..8),
    ) {
        drop(read(&noise, &pieces));
    }
}

#[test]
fn what_no_frames_are_is_refused() {
    let mut too_long = ((MAX_LINK_FRAME_BYTES + 1) as u32).to_le_bytes().to_vec();
    too_long.push(0);
    let bytes = MAX_LINK_FRAME_BYTES + 1;
    assert_eq!(read(&too_long, &[1]), Err(FrameError::TooLong { bytes }));
    for (frame, kind, bytes) in [
        (&[0, 0, 0, 0][..], u8::MAX, 0),
        (&[1, 0, 0, 0, 9], 9, 0),
        (&[2, 0, 0, 0, 1, 0], 1, 1),
        (&[3, 0, 0, 0, 2, 0, 0], 2, 2),
        (&[2, 0, 0, 0, 3, 0], 3, 1),
    ] {
        assert_eq!(read(frame, &[7]), Err(FrameError::NoSuch { kind, bytes }), "{frame:?}");
    }
}

#[test]
fn whoever_does_not_deal_with_what_comes_is_sent_no_more() {
    let (mut sender, mut receiver) = (Window::default(), Window::default());
    let weight = WINDOW / 10;
    let mut on_the_way = 0;
    while sender.is_open() {
        sender.sent(weight);
        on_the_way += weight;
    }
    assert!((WINDOW..WINDOW + weight).contains(&on_the_way));
    let mut credited = 0;
    while !sender.is_open() {
        if let Some(Frame::Credit(bytes)) = receiver.taken(weight) {
            sender.credit(bytes).unwrap();
            credited += bytes as usize;
        }
    }
    assert!(credited < WINDOW, "it is told before everything is dealt with");
    assert_eq!(sender.credit(u32::MAX), Err(FrameError::Credit));
}
