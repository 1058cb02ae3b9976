/* What an ordinary C program does to files, by stdio and POSIX: each line that it prints is one thing that held.
 * Built by zig's clang and wasi-libc (scripts/common.sh), run over every backend (runner-host-fs/tests/it/programs.rs). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void held(int condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
    puts(what);
}

static int by_name(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* What it may not: `/in` is only read, a folder has room for 65,536 bytes. */
static int refused(void) {
    held(fopen("/none/file", "r") == NULL && errno == ENOENT, "no mount");
    FILE *file = fopen("/in/there", "r");
    char line[16] = {0};
    held(file && fread(line, 1, sizeof line, file) == 5 && strcmp(line, "there") == 0 && fclose(file) == 0, "read only, read");
    held(fopen("/in/there", "r+") == NULL && errno == EROFS, "read only, fopen r+");
    held(fopen("/in/new", "w") == NULL && errno == EROFS, "read only, fopen w");
    held(remove("/in/there") == -1 && errno == EROFS, "read only, remove");
    held(rename("/in/there", "there") == -1 && errno == EXDEV, "another mount, rename");

    /* All of it lies in a buffer until the end: who does not look at what `fclose` says does not know. */
    static char buffer[1 << 17], bytes[1 << 16];
    file = fopen("full", "wb");
    held(file && setvbuf(file, buffer, _IOFBF, sizeof buffer) == 0, "setvbuf");
    held(fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes && fputc('!', file) == '!', "fwrite of too much");
    held(fclose(file) == EOF && errno == EDQUOT, "fclose");
    struct stat status;
    held(stat("full", &status) == 0 && status.st_size == 0, "nothing of it is there");
    file = fopen("full", "wb");
    held(file && fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes && fclose(file) == 0, "as much as there may be");
    int parts = open("full", O_WRONLY | O_APPEND);
    held(parts >= 0 && write(parts, "!", 1) == -1 && errno == EDQUOT && close(parts) == 0, "one more byte");
    return 0;
}

int main(int count, char **args) {
    held(count >= 2 && chdir(args[1]) == 0, "chdir");
    if (count == 3) return refused();

    FILE *file = fopen("poem", "w+");
    held(file != NULL, "fopen w+");
    held(fprintf(file, "%s %d\n", "line", 1) == 7 && fprintf(file, "line %05.1f\n", 2.0) == 11, "fprintf");
    held(fseek(file, 5, SEEK_SET) == 0 && fputc('0', file) == '0', "fputc in the middle");
    rewind(file);
    char line[64];
    held(fgets(line, sizeof line, file) && strcmp(line, "line 0\n") == 0, "fgets");
    int number = 0;
    float other = 0;
    held(fscanf(file, "line %f", &other) == 1 && other == 2.0f && number == 0, "fscanf");
    held(fseek(file, 0, SEEK_END) == 0 && ftell(file) == 18, "ftell");
    held(fclose(file) == 0, "fclose");

    /* Through a buffer of its own, and past it. */
    file = fopen("big", "wb");
    static char buffer[1 << 16];
    held(file && setvbuf(file, buffer, _IOFBF, sizeof buffer) == 0, "setvbuf");
    for (unsigned value = 0; value < 1 << 18; value++)
        if (fwrite(&value, sizeof value, 1, file) != 1) held(0, "fwrite");
    held(fclose(file) == 0, "a mebibyte, by four bytes");
    file = fopen("big", "r+b");
    unsigned value = 0;
    held(file && fseek(file, 4 * 200000, SEEK_SET) == 0 && fread(&value, 4, 1, file) == 1 && value == 200000, "fread");
    value = 7;
    held(fseek(file, -4, SEEK_CUR) == 0 && fwrite(&value, 4, 1, file) == 1 && fflush(file) == 0, "fwrite over it");
    held(ftruncate(fileno(file), 4 * 200001) == 0 && fclose(file) == 0, "ftruncate");
    struct stat status;
    held(stat("big", &status) == 0 && status.st_size == 800004 && S_ISREG(status.st_mode), "stat");

    file = fopen("log", "a");
    held(file && fputs("one\n", file) >= 0 && fclose(file) == 0, "fopen a");
    file = fopen("log", "a+");
    held(file && fputs("two\n", file) >= 0 && ftell(file) == 8 && fclose(file) == 0, "fopen a+");
    held(fopen("log", "wx") == NULL && errno == EEXIST, "fopen wx of what is there");
    held(fopen("none", "r") == NULL && errno == ENOENT, "fopen r of what is not");

    held(mkdir("d", 0777) == 0 && mkdir("d", 0777) == -1 && errno == EEXIST, "mkdir");
    held(rename("log", "d/log") == 0 && rename("poem", "d/poem") == 0, "rename");
    held(rmdir("d") == -1 && errno == ENOTEMPTY, "rmdir of a full one");
    held(remove("d/poem") == 0 && access("d/poem", F_OK) == -1, "remove");

    int parts = open("d/parts", O_RDWR | O_CREAT | O_EXCL, 0666);
    held(parts >= 0 && pwrite(parts, "world", 5, 6) == 5 && pwrite(parts, "hello,", 6, 0) == 6, "pwrite");
    char read[12] = {0};
    held(pread(parts, read, 11, 0) == 11 && strcmp(read, "hello,world") == 0, "pread");
    held(fsync(parts) == 0 && fdatasync(parts) == 0, "fsync");
    held(unlink("d/parts") == 0 && pread(parts, read, 5, 6) == 5 && memcmp(read, "world", 5) == 0, "unlink while open");
    held(close(parts) == 0, "close");

    DIR *folder = opendir(".");
    char *names[8];
    size_t found = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder)) && found < 8;)
        if (entry->d_name[0] != '.') names[found++] = strdup(entry->d_name);
    held(folder && closedir(folder) == 0, "readdir");
    qsort(names, found, sizeof *names, by_name);
    for (size_t at = 0; at < found; at++) printf("- %s\n", names[at]);
    return 0;
}
