use bytes::BytesMut;
use tokio::sync::Semaphore;

use super::*;

const STALL: Duration = Duration::from_secs(120);

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

/// Five messages are expected, each told to be of ten octets.
fn shelf(bound: u64) -> Shelf {
    let lease = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let shelf = Shelf::new(bound, Way::Up, lease);
    shelf.expect(&[1, 2, 3, 4, 5].map(|number| (uid(number), 10)));
    shelf
}

async fn fill(shelf: &Shelf, number: u32, octets: usize) -> bool {
    let begun = shelf.begin(uid(number), octets as u64, STALL).await.unwrap() == Begun::Taken;
    if begun {
        assert!(shelf.push(uid(number), BytesMut::from(&vec![b'x'; octets][..]), STALL).await.unwrap());
        assert!(shelf.close(uid(number)));
    }
    begun
}

#[tokio::test(start_paused = true)]
async fn what_is_held_stays_below_the_bound_whatever_was_told() {
    let shelf = shelf(100);
    for number in 1..=3 {
        assert!(fill(&shelf, number, 33).await);
    }
    // There is room for none, and nobody takes any.
    let begun = tokio::time::Instant::now();
    assert!(shelf.begin(uid(4), 33, STALL).await.is_err());
    assert_eq!(begun.elapsed(), STALL);
    assert_eq!(shelf.state().held, 99);
    // One that is taken makes room.
    let taken = tokio::join!(fill(&shelf, 4, 33), async { shelf.take(uid(1)) });
    assert_eq!((taken.0, taken.1.unwrap().len()), (true, 33));
    assert_eq!(shelf.state().held, 99);
    // One that the app waits for streams past.
    let (flowed, given) = tokio::join!(fill(&shelf, 5, 1000), async {
        let (octets, mut taking) = shelf.coming(uid(5)).await.unwrap();
        assert_eq!(shelf.state().held, 99);
        let mut given = 0;
        while let Some(chunk) = taking.chunk().await.unwrap() {
            given += chunk.len() as u64;
        }
        (octets, given)
    });
    assert!(flowed);
    assert_eq!(given, (1000, 1000));
    assert_eq!(shelf.pass(uid(5)).len(), 3);
    assert!(shelf.is_empty());
    let left = shelf.state();
    assert_eq!((left.held, left.cost), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_which_the_app_has_a_part_breaks_and_others_are_asked_for_anew() {
    let shelf = shelf(100);
    assert!(fill(&shelf, 1, 10).await);
    shelf.begin(uid(2), 10, STALL).await.unwrap();
    shelf.push(uid(2), BytesMut::from("part"), STALL).await.unwrap();
    let (_, mut taking) = shelf.coming(uid(2)).await.unwrap();
    assert_eq!(taking.chunk().await.unwrap().unwrap(), "part");
    shelf.fail_all(LOST);
    assert!(matches!(taking.chunk().await, Err(UpstreamError::Lost { .. })));
    drop(taking);
    assert!(shelf.coming(uid(3)).await.unwrap_err().is_none());
    assert_eq!(shelf.take(uid(1)).unwrap().len(), 10);
    // Whoever asks too late hears it too.
    shelf.expect(&[(uid(9), 10)]);
    assert!(shelf.coming(uid(9)).await.unwrap_err().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_what_was_announced_is_never_complete() {
    let shelf = shelf(100);
    shelf.begin(uid(1), 10, STALL).await.unwrap();
    shelf.push(uid(1), BytesMut::from("short"), STALL).await.unwrap();
    shelf.close(uid(1));
    assert!(shelf.take(uid(1)).is_none());
    assert!(shelf.coming(uid(1)).await.unwrap_err().is_none());
    assert_eq!(shelf.state().held, 0);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_waits_long_behind_others_tries_another_way_and_one_before_silence_waits() {
    let shelf = shelf(100);
    let busy = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            shelf.hear();
        }
    };
    let (error, ()) = tokio::join!(shelf.coming(uid(5)), busy);
    assert!(error.unwrap_err().is_none());
    shelf.expect(&[(uid(5), 10)]);
    let silent = timeout(Duration::from_secs(50), shelf.coming(uid(5))).await;
    assert!(silent.is_err());
}
