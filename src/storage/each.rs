//! The same for very many files: asking the file system takes its time for each.

use std::thread;

/// Does `work` for each item, on `threads` threads. The results are in the order of the items.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    let work_off = |part: &[T]| -> Vec<R> { part.iter().map(&work).collect() };
    let mut parts = items.chunks(share);
    let first = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let work_off = &work_off;
        let helpers: Vec<_> = parts
            .map(|part| scope.spawn(move || work_off(part)))
            .collect();
        let mut results = work_off(first);
        for helper in helpers {
            results.extend(helper.join().expect("work on a file does not panic"));
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_results_keep_the_order() {
        for count in [0, 1, 2, 7, 100] {
            let items: Vec<u32> = (0..count).collect();
            for threads in [0, 1, 2, 3, 200] {
                let doubled: Vec<u32> = items.iter().map(|item| item * 2).collect();
                assert_eq!(each(&items, threads, |item| item * 2), doubled);
            }
        }
    }
}
