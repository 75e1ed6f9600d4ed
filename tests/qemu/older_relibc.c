/* Functions that newer libraries call and an older relibc does not have. `cc` says which ones that is. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>

#ifdef WITHOUT_DL_FIND_OBJECT
/* The host's unwinder asks this. It is told that nothing is known and gives up: these programs abort on a panic. */
int _dl_find_object(void *address, void *result)
{
    (void)address;
    (void)result;
    return -1;
}
#endif

#ifdef WITHOUT_REDOX_FCNTL
/* As libredox has it: the error as a negative number in the result. */
size_t redox_fcntl_v0(size_t fd, size_t command, size_t argument)
{
    int result = fcntl((int)fd, (int)command, argument);
    return result < 0 ? (size_t)-errno : (size_t)result;
}
#endif
