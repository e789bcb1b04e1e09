//! Values of every form are found where they stand, in pieces of any size, and any bytes are read without a panic.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(bytes: &[u8], expected: PackToken<'_>) {
    let mut reader = PackReader::new(bytes);
    assert_eq!(reader.token(), Ok(expected), "{bytes:x?}");
    assert!(reader.is_at_end());
    for len in 0..bytes.len() {
        assert_eq!(PackReader::new(&bytes[..len]).token(), Err(PackError::Truncated), "{len} of {bytes:x?}");
    }
}

#[test]
fn every_form_of_value_is_read() {
    check(&[0x7f], PackToken::Unsigned(127));
    check(&[0xcc, 0xff], PackToken::Unsigned(255));
    check(&[0xcd, 1, 0], PackToken::Unsigned(256));
    check(&[0xce, 0, 1, 0, 0], PackToken::Unsigned(65_536));
    check(&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], PackToken::Unsigned(u64::MAX));
    check(&[0xff], PackToken::Negative(-1));
    check(&[0xd0, 0x80], PackToken::Negative(-128));
    check(&[0xd0, 0x01], PackToken::Unsigned(1));
    check(&[0xd1, 0x80, 0], PackToken::Negative(-32_768));
    check(&[0xd2, 0x80, 0, 0, 0], PackToken::Negative(i64::from(i32::MIN)));
    check(&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], PackToken::Negative(i64::MIN));
    check(&[0xca, 0x3f, 0x80, 0, 0], PackToken::Float(1.0));
    check(&[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], PackToken::Float(1.0));
    check(&[0xc0], PackToken::Nil);
    check(&[0xc3], PackToken::Bool(true));
    check(&[0xa2, b'a', 0xff], PackToken::Str(b"a\xff"));
    check(&[0xd9, 1, b'a'], PackToken::Str(b"a"));
    check(&[0xda, 0, 1, b'a'], PackToken::Str(b"a"));
    check(&[0xdb, 0, 0, 0, 1, b'a'], PackToken::Str(b"a"));
    check(&[0xc4, 1, 7], PackToken::Bin(&[7]));
    check(&[0xc5, 0, 1, 7], PackToken::Bin(&[7]));
    check(&[0xc6, 0, 0, 0, 1, 7], PackToken::Bin(&[7]));
    check(&[0xd4, 0xff, 7], PackToken::Ext(-1, &[7]));
    check(&[0xd7, 0, 1, 2, 3, 4, 5, 6, 7, 8], PackToken::Ext(0, &[1, 2, 3, 4, 5, 6, 7, 8]));
    check(&[0xc7, 1, 0, 7], PackToken::Ext(0, &[7]));
    check(&[0xc8, 0, 1, 0, 7], PackToken::Ext(0, &[7]));
    check(&[0xc9, 0, 0, 0, 1, 0, 7], PackToken::Ext(0, &[7]));
    check(&[0x92], PackToken::Array(2));
    check(&[0xdc, 1, 0], PackToken::Array(256));
    check(&[0xdd, 0xff, 0xff, 0xff, 0xff], PackToken::Array(u32::MAX));
    check(&[0x81], PackToken::Map(1));
    check(&[0xde, 1, 0], PackToken::Map(256));
    check(&[0xdf, 0, 0, 0, 1], PackToken::Map(1));
    assert_eq!(PackReader::new(&[0xc1]).token(), Err(PackError::Reserved));
}

const MOST: usize = 1 << 20;

#[test]
fn a_frame_tells_where_its_elements_begin() {
    // ["t", [[1, {"a": 2}]], {}]
    let bytes = [0x93, 0xa1, b't', 0x91, 0x92, 1, 0x81, 0xa1, b'a', 2, 0x80, 0x93];
    let expected = PackSpan { len: 11, elements: Some(3), starts: [1, 3, 10, 0] };
    assert_eq!(PackScan::default().step(&bytes, MOST), Ok(Some(expected)));
    let mut scan = PackScan::default();
    for len in 0..11 {
        assert_eq!(scan.step(&bytes[..len], MOST), Ok(None), "{len}");
    }
    assert_eq!(scan.step(&bytes[..11], MOST), Ok(Some(expected)));
    assert_eq!(scan.step(&[0xc0], MOST), Ok(Some(PackSpan { len: 1, elements: None, starts: [0; 4] })));
    assert_eq!(scan.step(&[0x95, 1, 2, 3, 4, 5], MOST).unwrap().unwrap().elements, None);
    assert_eq!(scan.step(&[0x90], MOST).unwrap().unwrap().elements, Some(0));
}

#[test]
fn a_length_that_cannot_be_is_refused_at_once() {
    let check = |bytes: &[u8]| assert_eq!(PackScan::default().step(bytes, MOST), Err(PackError::TooLarge));
    check(&[0xdd, 0xff, 0xff, 0xff, 0xff]);
    check(&[0xdf, 0x00, 0x10, 0x00, 0x00]);
    check(&[0x92, 0xdb, 0x7f, 0xff, 0xff, 0xff]);
    check(&[0xc6, 0x7f, 0xff, 0xff, 0xff]);
    check(&[0xc9, 0x7f, 0xff, 0xff, 0xff]);
    check(&vec![0x91; MOST + 1]);
    let mut nested = vec![0xdd, 0, 0x0f, 0xff, 0xf0];
    nested.extend([0xdd, 0, 0, 0xff, 0xff]);
    check(&nested);
}

proptest! {
    #[test]
    fn a_token_is_passed_over_as_it_is_read(bytes in prop::collection::vec(any::<u8>(), 0..40), first: u8) {
        let bytes = [vec![first], bytes].concat();
        let (mut reader, mut passer) = (PackReader::new(&bytes), PackReader::new(&bytes));
        prop_assert_eq!(passer.pass(), reader.token().map(token::below));
        prop_assert_eq!(passer.at(), reader.at());
    }

    #[test]
    fn any_bytes_are_scanned_alike_in_pieces(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..40) {
        let whole = PackScan::default().step(&bytes, MOST);
        let mut scan = PackScan::default();
        let mut pieces = Ok(None);
        for end in (size..bytes.len()).step_by(size).chain([bytes.len()]) {
            pieces = scan.step(&bytes[..end], MOST);
            if pieces != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(whole, pieces);
        if let Ok(Some(span)) = whole {
            let mut reader = PackReader::new(&bytes);
            prop_assert_eq!(reader.skip(), Ok(()));
            prop_assert_eq!(reader.at(), span.len);
        }
    }

    #[test]
    fn what_is_written_is_read(text in prop::collection::vec(any::<u8>(), 0..70_000)) {
        let mut out = Vec::new();
        put_map(&mut out, 1);
        put_str(&mut out, &text);
        put_array(&mut out, 2);
        put_bin(&mut out, &text);
        put_bool(&mut out, true);
        let mut reader = PackReader::new(&out);
        prop_assert_eq!(reader.token(), Ok(PackToken::Map(1)));
        prop_assert_eq!(reader.token(), Ok(PackToken::Str(&text)));
        prop_assert_eq!(reader.token(), Ok(PackToken::Array(2)));
        prop_assert_eq!(reader.token(), Ok(PackToken::Bin(&text)));
        prop_assert_eq!(reader.token(), Ok(PackToken::Bool(true)));
        prop_assert!(reader.is_at_end());
    }
}
