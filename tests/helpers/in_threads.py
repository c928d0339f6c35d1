"""Work in several threads at once."""

import threading


def in_threads(work, workers):
    """Run `work` in threads; raise the first error."""
    errors = []

    def attempt():
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a worker did not end"
    if errors:
        raise errors[0]
