"""Attributes that are computed once, without a lock."""


class lazy:
    """`functools.cached_property` without the lock that it has before Python 3.12.

    A child forked while another thread holds that lock would wait for it for ever. Two threads
    may compute the same value twice instead.
    """

    def __init__(self, function):
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner, name):
        """Store the attribute's name."""
        self._name = name

    def __get__(self, instance, owner=None):
        """Compute the value and store it in the instance, where it is found from then on."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._function(instance)
        return value
