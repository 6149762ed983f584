/* SPDX-License-Identifier: MIT
 * The kernel's FUSE protocol, raw, as far as a directory with three files and two links needs it.
 * What is not answered stays unanswered until the connection is aborted: the one who waits is in D
 * state, and no signal reaches him. */
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include "harness-fuse.h"

enum { NODE_PLAIN = 2, NODE_HANG, NODE_FLUSH, NODE_DENIED, NODE_EMPTY };

static const char *const names[] = {
	[NODE_PLAIN] = "plain",	  [NODE_HANG] = "hang",	  [NODE_FLUSH] = "flush",
	[NODE_DENIED] = "denied", [NODE_EMPTY] = "empty",
};

static int mount_at(const char *path)
{
	_cleanup_close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (mount("opend-test", path, "fuse", MS_NOSUID | MS_NODEV,
		  text("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
		       fd)) < 0)
		return -errno;
	return take_fd(&fd);
}

static struct fuse_attr attributes(uint64_t node)
{
	bool directory = node == FUSE_ROOT_ID, link = node == NODE_DENIED || node == NODE_EMPTY;

	return (struct fuse_attr){ .ino = node,
				   .mode = directory ? S_IFDIR | 0755
					   : link    ? S_IFLNK | 0777
						     : S_IFREG | 0666,
				   .nlink = 1,
				   .blksize = 4096 };
}

static void reply(int fd, const struct fuse_in_header *in, int error, const void *body, size_t len)
{
	char buf[sizeof(struct fuse_out_header) + 256];
	struct fuse_out_header out = { .len = (uint32_t)(sizeof out + len),
				       .error = -error,
				       .unique = in->unique };

	memcpy(buf, &out, sizeof out);
	if (len)
		memcpy(buf + sizeof out, body, len);
	/* ENOENT: it was interrupted meanwhile, or the file system is gone. */
	ensure(write(fd, buf, out.len) == (ssize_t)out.len || errno == ENOENT || errno == ENODEV,
	       "/dev/fuse: %s", strerror(errno));
}

static void answer_init(int fd, const struct fuse_in_header *in, const struct fuse_init_in *ask)
{
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
				     .minor = FUSE_KERNEL_MINOR_VERSION < ask->minor
						      ? FUSE_KERNEL_MINOR_VERSION
						      : ask->minor,
				     .max_write = 4096,
				     .max_background = 16 };

	reply(fd, in, 0, &out, sizeof out);
}

static void answer_lookup(int fd, const struct fuse_in_header *in, const char *name)
{
	for (uint64_t node = NODE_PLAIN; node < ELEMENTSOF(names); node++) {
		struct fuse_entry_out out = { .nodeid = node, .attr = attributes(node) };

		if (!strcmp(name, names[node])) {
			reply(fd, in, 0, &out, sizeof out);
			return;
		}
	}
	reply(fd, in, ENOENT, NULL, 0);
}

static void answer(int fd, const struct fuse_in_header *in, const void *body)
{
	struct fuse_attr_out attr = { .attr = attributes(in->nodeid) };
	struct fuse_open_out opened = { .fh = in->nodeid };
	struct fuse_statfs_out fs = { .st = { .bsize = 4096, .namelen = 255 } };

	switch (in->opcode) {
	case FUSE_INIT:
		answer_init(fd, in, body);
		break;
	case FUSE_LOOKUP:
		answer_lookup(fd, in, body);
		break;
	case FUSE_GETATTR:
		reply(fd, in, 0, &attr, sizeof attr);
		break;
	case FUSE_STATFS:
		reply(fd, in, 0, &fs, sizeof fs);
		break;
	case FUSE_READLINK:
		reply(fd, in, in->nodeid == NODE_DENIED ? EINVAL : 0, NULL, 0);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		if (in->nodeid != NODE_HANG)
			reply(fd, in, 0, &opened, sizeof opened);
		break;
	case FUSE_FLUSH:
		if (in->nodeid != NODE_FLUSH)
			reply(fd, in, 0, NULL, 0);
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		reply(fd, in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(fd, in, ENOSYS, NULL, 0);
		break;
	}
}

/* Until the file system is unmounted or its connection aborted. */
static void serve(void *arg)
{
	const int fd = *(int *)arg;
	static char buf[FUSE_MIN_READ_BUFFER + 65536];

	for (;;) {
		ssize_t n = read(fd, buf, sizeof buf);

		if (n < 0 && errno == ENODEV)
			return;
		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		ensure(n >= (ssize_t)sizeof(struct fuse_in_header), "/dev/fuse: %s",
		       strerror(errno));
		answer(fd, (const struct fuse_in_header *)(const void *)buf,
		       buf + sizeof(struct fuse_in_header));
	}
}

bool fuse_start(struct client *ret)
{
	_cleanup_close_ int fd = -1;

	sys(unshare(CLONE_NEWNS));
	sys(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	fd = mount_at(make_dir(at("data/fuse"), 0755, 0));
	if (fd >= 0)
		*ret = client_start(uid_only(0), serve, &fd);
	return fd >= 0;
}

void fuse_end(struct client *server)
{
	sys(umount2(at("data/fuse"), MNT_FORCE | MNT_DETACH));
	client_wait(server);
}
